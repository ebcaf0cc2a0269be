"""The wrong records of the repair experiment are what it says they are."""

from __future__ import annotations

import numpy as np
import pytest

from bench.label_repair import corrupt, judged, over_days, passes
from tests.some_trips import ZONES, some_trips
from training.context import describe_trips
from training.trip_vectors import TripVectors

ROWS = 6000


@pytest.fixture(scope="module")
def trips() -> TripVectors:
    """Of a quarter of an hour, more or less."""
    frame, rng = some_trips(ROWS, days=10), np.random.default_rng(0)
    seconds = np.round(rng.lognormal(6.8, 0.4, ROWS))
    return TripVectors(ZONES, describe_trips(frame, ZONES), np.zeros((ROWS, 1), np.float32), seconds)


def test_a_third_each_and_all_pass_the_cleaning_rules(trips: TripVectors) -> None:
    """Shorter, longer, and swapped between different pairs; the rest stays as it was."""
    km = trips.duration_s / 3600 * 18.0
    made = corrupt(trips, km, share=0.1, seed=3)
    assert np.bincount(made.kind).tolist() == pytest.approx([0.9 * ROWS, 200, 200, 200], abs=2)
    assert passes(made.duration_s, km).all()
    ratio = made.duration_s / trips.duration_s
    assert (ratio[made.kind == 0] == 1.0).all()
    assert ((ratio[made.kind == 1] > 0.29) & (ratio[made.kind == 1] < 0.61)).all()
    assert ((ratio[made.kind == 2] > 1.69) & (ratio[made.kind == 2] < 3.01)).all()
    swapped = made.kind == 3
    assert sorted(made.duration_s[swapped]) == sorted(trips.duration_s[swapped])
    again = corrupt(trips, km, share=0.1, seed=3)
    np.testing.assert_array_equal(made.duration_s, again.duration_s)


def test_the_line_is_judged_over_seeds_and_days() -> None:
    """Loss in its standard errors, and the share that came back."""
    run = {"true_mae_s": 100.0, "loss_se_days_s": 0.5, "found": 0.6, "precision": 0.5}
    runs = [
        {**run, "wrong_mae_s": 104.0, "repaired_mae_s": 101.0, "loss_s": 4.0},
        {**run, "wrong_mae_s": 106.0, "repaired_mae_s": 102.0, "loss_s": 6.0},
    ]
    found = judged(runs)
    assert found["loss_s"] == pytest.approx(5.0)
    assert found["loss_in_standard_errors_over_days"] == pytest.approx(10.0)
    assert found["brought_back"] == pytest.approx(0.7)
    assert over_days(np.ones(60), np.arange(60) // 3) == pytest.approx(0.0)
