"""Both tiers and the baselines learn what is there to learn."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import InvalidInput
from tests.training.small_world import OFFSET, SMALL, draw
from training.baselines import fit_pair_median, speed_by_hour
from training.settings import TrainingSettings, override
from training.student import fit_student, range_factors
from training.teacher import fit_teacher
from training.trees import Examples


def test_both_tiers_beat_the_reference_and_the_range_covers(examples: Examples) -> None:
    """On trips that neither has seen, the range holds about 80 %."""
    fresh = draw(4000, seed=9)
    student = fit_student(examples, SMALL, offset=OFFSET, holdout=900, seed=1)
    teacher = fit_teacher(examples, SMALL, offset=OFFSET, seed=1)
    reference = np.abs(np.exp(fresh.matrix[:, OFFSET]) - fresh.duration_s).mean()
    eta_s = student.predict(fresh.matrix)
    assert np.abs(eta_s - fresh.duration_s).mean() < 0.7 * reference
    assert np.abs(teacher.predict(fresh.matrix) - fresh.duration_s).mean() < 0.7 * reference
    low_s, high_s = student.interval(eta_s)
    assert 0.75 < ((fresh.duration_s >= low_s) & (fresh.duration_s <= high_s)).mean() < 0.85


def test_every_tree_ticks(examples: Examples) -> None:
    """A progress bar hears of the probe's trees and of the student's."""
    ticks: list[None] = []
    fit_student(examples, SMALL, offset=None, holdout=500, seed=1, tick=lambda: ticks.append(None))
    assert len(ticks) == 2 * SMALL.rounds


def test_range_factors_leave_a_tenth_on_either_side() -> None:
    """Ranks of split conformal prediction, and never a range without the estimate in it."""
    low, high = range_factors(np.arange(1.0, 100.0), np.full(99, 50.0))
    assert (low, high) == (pytest.approx(10 / 50, abs=0.021), pytest.approx(90 / 50, abs=0.021))
    assert range_factors(np.array([2.0, 3.0]), np.ones(2))[0] == 1.0
    assert range_factors(np.array([0.2, 0.3]), np.ones(2))[1] == 1.0


def test_pair_median_falls_back_to_the_speed_of_the_hour() -> None:
    """Pairs without a trip take straight-line distance over speed; an hour without trips the day's speed."""
    pairs, hour = ["1>2", "1>2", "1>2", "3>4"], np.array([8, 8, 8, 9])
    distance_m, duration_s = np.array([1000.0, 1000.0, 1000.0, 4000.0]), np.array([100.0, 200.0, 900.0, 400.0])
    heuristic = fit_pair_median(pairs, distance_m, hour, duration_s)
    eta_s = heuristic.predict(["1>2", "9>9", "9>9"], np.full(3, 2000.0), np.array([8, 9, 3]))
    assert eta_s == pytest.approx([200.0, 200.0, 2000.0 / (7000 / 1600)])
    assert heuristic.low_factor <= 1.0 <= heuristic.high_factor
    assert speed_by_hour(distance_m, hour, duration_s)[9] == pytest.approx(10.0)


def test_settings_change_by_dotted_name() -> None:
    """Text from a command line becomes the type of the default; what is unknown or no number is named."""
    changed = override(TrainingSettings(), {"teacher.rounds": "12", "test_share": "0.5", "seed": 3})
    assert (changed.teacher.rounds, changed.test_share, changed.seed) == (12, 0.5, 3)
    assert changed.student == TrainingSettings().student
    with pytest.raises(InvalidInput, match=r"teacher\.depth: unknown setting"):
        override(TrainingSettings(), {"teacher.depth": 3})
    with pytest.raises(InvalidInput, match="'many' is no int"):
        override(TrainingSettings(), {"student.rounds": "many"})
