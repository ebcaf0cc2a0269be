"""What a training run may vary, as one frozen object; the defaults are what was chosen on validation months."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import InvalidInput


@dataclass(frozen=True)
class TreeSettings:
    """A LightGBM ensemble: `rounds` trees of `leaves` leaves."""

    rounds: int
    leaves: int
    learning_rate: float
    min_leaf_rows: int = 50
    l2: float = 20.0
    feature_share: float = 0.6
    row_share: float = 0.8
    objective: str = "regression_l1"  # the median of the log is the log of the median

    def parameters(self, seed: int) -> dict[str, Any]:
        """Parameters for `lightgbm.train`; the same data and seed give the same model, whatever the threads."""
        return {
            "objective": self.objective,
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_leaf_rows,
            "lambda_l2": self.l2,
            "feature_fraction": self.feature_share,
            "bagging_fraction": self.row_share,
            "bagging_freq": 1,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


@dataclass(frozen=True)
class NetSettings:
    """A net of two hidden layers over numbers and embeddings; `epochs` times it sees every row learned from."""

    first: int = 96
    second: int = 48
    place_width: int = 8
    hour_width: int = 4
    epochs: int = 8
    batch: int = 1024
    learning_rate: float = 4e-3
    decay: float = 0.5  # of the weights, a step and unit of learning rate


@dataclass(frozen=True)
class DistillSettings:
    """What a teacher hands on: `folds` of it, none for a run without; see docs/training.md."""

    folds: int = 3
    share: float = 0.5  # of the teacher in the log of a label that nobody doubts
    expand: float = 0.25  # queries that nobody made, for each trip learned from
    rare_share: float = 0.5  # of those, the ones whose zones are drawn apart
    masked: float = 0.1  # of a teacher's rows, the ones that know nothing of other trips
    margin: float = 0.002  # by how much of the error a distilled student has to be better than its control


@dataclass(frozen=True)
class TrainingSettings:
    """One training run, of all tiers and baselines."""

    teacher: TreeSettings = field(default_factory=lambda: TreeSettings(rounds=400, leaves=255, learning_rate=0.05))
    student: TreeSettings = field(default_factory=lambda: TreeSettings(rounds=300, leaves=63, learning_rate=0.08))
    net: NetSettings = field(default_factory=NetSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)
    zones_only: TreeSettings = field(default_factory=lambda: TreeSettings(rounds=150, leaves=31, learning_rate=0.1))
    holdout_share: float = 0.15  # of the training days, the last: what the 80 % range is calibrated on
    test_share: float = 0.15  # of the time span, where no first test day is given
    parity_rows: int = 100_000
    golden_rows: int = 512
    seed: int = 7

    def flat(self) -> dict[str, Any]:
        """Every value under a dotted name, as it is logged and as `override` takes it."""
        values = dataclasses.asdict(self)
        for tier in [name for name, value in values.items() if isinstance(value, dict)]:
            values |= {f"{tier}.{name}": value for name, value in values.pop(tier).items()}
        return values


def override(settings: TrainingSettings, changes: Mapping[str, Any]) -> TrainingSettings:
    """Replace values by dotted name, such as ``{"teacher.rounds": 100}``; raises InvalidInput for an unknown one."""
    known = settings.flat()
    for name, value in changes.items():
        if name not in known:
            raise InvalidInput(name, f"unknown setting, expected one of {', '.join(sorted(known))}")
        try:
            value = type(known[name])(value)  # noqa: PLW2901 - from a command line it comes as text
        except ValueError as error:
            raise InvalidInput(name, f"{value!r} is no {type(known[name]).__name__}") from error
        tier, _, entry = name.rpartition(".")
        settings = dataclasses.replace(
            settings,
            **({tier: dataclasses.replace(getattr(settings, tier), **{entry: value})} if tier else {entry: value}),
        )
    return settings
