"""A recording as traffic of now: shape, rate, and ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contracts.errors import DataRefused
from pipelines.recorded_traffic import recorded_traffic
from tests.some_trips import some_trips

FRAME = some_trips(2000, days=1, seed=2)


def test_the_busiest_quarter_has_the_peak_and_the_shape_stays() -> None:
    """Times are divided by one number; trips keep their own durations."""
    traffic = recorded_traffic(FRAME, peak=50.0)
    elapsed = (FRAME["pickup_at"] - FRAME["pickup_at"].iloc[0]).dt.total_seconds().to_numpy()
    np.testing.assert_allclose(traffic.asked_s * traffic.speed, elapsed, atol=1e-6)
    quarter_s = 900 / traffic.speed
    counts = np.bincount((traffic.asked_s // quarter_s + 1e-9).astype(int))
    assert counts.max() / quarter_s == pytest.approx(50.0, rel=0.05)
    np.testing.assert_array_equal(traffic.duration_s, FRAME["duration_s"])
    assert traffic.trip_id == FRAME["trip_id"].tolist()


def test_ends_come_in_their_order_with_true_durations() -> None:
    """An event says when the trip began and ended, shifted to the start of the replay."""
    traffic = recorded_traffic(FRAME, peak=50.0, seconds=10.0)
    assert 0 < len(traffic.trip_id) < len(FRAME)
    assert traffic.asked_s.max() <= 10.0
    assert (np.diff(traffic.ended_s[traffic.by_end]) >= 0).all()
    event = traffic.event(3, 1_800_000_000.0)
    assert event.trip_id == traffic.trip_id[3]
    assert event.pickup_at.timestamp() == pytest.approx(1_800_000_000.0 + traffic.asked_s[3], abs=1e-5)
    assert event.duration_s == pytest.approx(traffic.duration_s[3], abs=1e-5)


def test_trips_of_one_moment_have_no_rate() -> None:
    """Nor have none."""
    same = FRAME.assign(pickup_at=FRAME["pickup_at"].iloc[0])
    for frame in (same, FRAME.iloc[:1], FRAME.iloc[:0]):
        with pytest.raises(DataRefused, match="do not span any time"):
            recorded_traffic(pd.DataFrame(frame), peak=1.0)
