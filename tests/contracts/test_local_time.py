"""Local time in bulk against zoneinfo."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.local_time import DAY_S, hour_of_week, local_time

NEW_YORK = "America/New_York"
ANY_TIME = st.integers(
    int(datetime(2001, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2090, 1, 1, tzinfo=UTC).timestamp())
)


@given(st.lists(ANY_TIME, min_size=1, max_size=20), st.sampled_from([NEW_YORK, "Europe/Berlin", "Asia/Kolkata"]))
def test_agrees_with_zoneinfo(times: list[int], zone: str) -> None:
    """Clock, hour of the week and day are zoneinfo's at any moment."""
    at = np.array(times, dtype=np.float64)
    local = [datetime.fromtimestamp(t, ZoneInfo(zone)) for t in times]
    wall = [t.replace(tzinfo=UTC).timestamp() for t in local]
    place = local_time(zone)
    np.testing.assert_array_equal(place.seconds(at), wall)
    np.testing.assert_array_equal(hour_of_week(place.seconds(at)), [t.weekday() * 24 + t.hour for t in local])
    np.testing.assert_array_equal(place.day(at), [int(w // DAY_S) for w in wall])


def test_second_by_second_through_both_changes() -> None:
    """The clocks jump at the very second."""
    place = local_time(NEW_YORK)
    spring, autumn = (datetime(2020, *day, tzinfo=UTC).timestamp() for day in ((3, 8, 7), (11, 1, 6)))
    assert place.seconds(np.array([spring - 1, spring])).tolist() == [spring - 5 * 3600 - 1, spring - 4 * 3600]
    assert place.seconds(np.array([autumn - 1, autumn])).tolist() == [autumn - 4 * 3600 - 1, autumn - 5 * 3600]


def test_days_begin_at_midnight() -> None:
    """A day's midnight is the first second of that day, through all changes of two decades."""
    place = local_time(NEW_YORK)
    days = np.arange(14_000, 21_000)
    begins = place.midnight(days)
    np.testing.assert_array_equal(place.day(begins), days)
    np.testing.assert_array_equal(place.day(begins - 1), days - 1)
    np.testing.assert_array_equal(place.seconds(begins) % DAY_S, 0)
