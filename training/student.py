"""The compact model: a small ensemble with an 80 % range, made to be exported."""

from __future__ import annotations

import math
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from contracts.schema import Floats, Matrix
from training.export import Head, floor_thresholds, round_leaves
from training.settings import TreeSettings
from training.trees import Examples, Tick, fit_trees

COVERAGE = 0.8


@dataclass(frozen=True)
class Lessons:
    """What to fit on: up to where the rows held out begin, whose labels are in none of it, and in all."""

    earlier: Examples
    all: Examples


@dataclass(frozen=True)
class Student:
    """A fitted ensemble whose numbers a float32 graph holds exactly, and what turns its sum into seconds."""

    booster: lgb.Booster
    head: Head
    holdout_mae_s: float = float("nan")  # of a model of the same make, on later rows than it was fitted on

    def predict(self, matrix: Matrix) -> Floats:
        """Seconds [n]."""
        return self.head.eta_s(self.booster.predict(matrix), matrix)

    def interval(self, eta_s: Floats) -> tuple[Floats, Floats]:
        """Seconds (low, high) around estimates [n]."""
        return self.head.interval(eta_s)


def fit_student(
    examples: Examples,
    settings: TreeSettings,
    *,
    offset: int | None,
    holdout: int,
    seed: int,
    lessons: Lessons | None = None,
    tick: Tick = lambda: None,
) -> Student:
    """Fit on all of the examples, which are in the order of time, or on what a teacher made of them.

    The range is split-conformal: its factors come from the last `holdout` examples and from a model of the same make
    that has not seen them; they are taken as recorded, whatever the lessons. `tick` is called after each tree of both.
    """
    cut = len(examples) - holdout
    later = examples.rows(slice(cut, None))
    lessons = lessons or Lessons(examples.rows(slice(None, cut)), examples)
    neutral = Head(low_factor=1.0, high_factor=1.0, offset=offset)
    probe = fit_trees(lessons.earlier, settings, offset=offset, seed=seed, tick=tick)
    expected_s = neutral.eta_s(probe.predict(later.matrix), later.matrix)
    low, high = range_factors(later.duration_s, expected_s)
    booster = round_leaves(floor_thresholds(fit_trees(lessons.all, settings, offset=offset, seed=seed, tick=tick)))
    mae_s = float(np.abs(expected_s - later.duration_s).mean())
    return Student(booster, Head(low_factor=low, high_factor=high, offset=offset), mae_s)


def range_factors(duration_s: Floats, eta_s: Floats) -> tuple[float, float]:
    """The factors (at most 1, at least 1) between which 80 % of actual / estimate lie, a tenth beyond either end.

    The ranks are those of split conformal prediction: a new trip from the same source falls outside with at most
    these chances, not only in the limit.
    """
    low, high = tails(duration_s / eta_s)
    return min(low, 1.0), max(high, 1.0)


def tails(scores: Floats) -> tuple[float, float]:
    """What a tenth of future scores lies below, and another above, by the ranks of split conformal prediction."""
    ranked = np.sort(scores)
    tail, n = (1 - COVERAGE) / 2, len(ranked)
    low = ranked[max(math.floor(tail * (n + 1)) - 1, 0)]
    high = ranked[min(math.ceil((1 - tail) * (n + 1)) - 1, n - 1)]
    return float(low), float(high)
