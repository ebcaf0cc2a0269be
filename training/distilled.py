"""Which labels a family learns from: the rule, and what it was decided by.

The rule: a family keeps what it learned from the teachers where its most precise member errs less on the trips held
out, as recorded, by at least the margin, twice what seeds alone move it by; else its hard-label control serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.students import Candidate

HARD: Final = "hard"
DISTILLED: Final = "distilled"


@dataclass(frozen=True)
class Comparison:
    """A family on both kinds of labels with the same seed: MAE on the trips held out, and which kind was kept."""

    family: str
    hard_mae_s: float
    distilled_mae_s: float
    kept: str

    @property
    def other(self) -> str:
        """The kind that was not."""
        return HARD if self.kept == DISTILLED else DISTILLED

    @property
    def change(self) -> float:
        """Of the error by distillation; below zero it gained."""
        return self.distilled_mae_s / self.hard_mae_s - 1.0


def compare(family: str, *, hard: Sequence[Candidate], distilled: Sequence[Candidate], margin: float) -> Comparison:
    """Apply the rule to the candidates of a family, which come in the order of their precision."""
    before, after = hard[0].holdout_mae_s, distilled[0].holdout_mae_s
    kept = DISTILLED if after <= before * (1.0 - margin) else HARD
    return Comparison(family, before, after, kept)


def table(comparisons: Sequence[Comparison]) -> dict[str, dict[str, float | str]]:
    """Comparisons by family, as they are logged and printed."""
    return {
        one.family: {
            "hard_holdout_mae_s": one.hard_mae_s,
            "distilled_holdout_mae_s": one.distilled_mae_s,
            "change_percent": 100.0 * one.change,
            "serves": one.kept,
        }
        for one in comparisons
    }
