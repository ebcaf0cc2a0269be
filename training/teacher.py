"""The large model: as good as trees get on these vectors, never served."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb

from contracts.schema import Floats, Matrix
from training.export import Head
from training.settings import TreeSettings
from training.trees import Examples, Tick, fit_trees


@dataclass(frozen=True)
class Teacher:
    """A fitted ensemble and entry `offset` of the vector, to which it is relative."""

    booster: lgb.Booster
    offset: int | None

    def predict(self, matrix: Matrix) -> Floats:
        """Seconds [n]."""
        return Head(low_factor=1.0, high_factor=1.0, offset=self.offset).eta_s(self.booster.predict(matrix), matrix)


def fit_teacher(
    examples: Examples, settings: TreeSettings, *, offset: int | None, seed: int, tick: Tick = lambda: None
) -> Teacher:
    """Fit on all of the examples."""
    return Teacher(fit_trees(examples, settings, offset=offset, seed=seed, tick=tick), offset)
