"""When a window closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.windows import AdaptiveWindow, FixedWindow


def busy(riders_per_s: float, seconds: float = 600.0) -> AdaptiveWindow:
    """A window that has seen a steady stream up to the moment `seconds`."""
    window = AdaptiveWindow()
    for i in range(int(seconds * riders_per_s)):
        window.arrived((i + 1) / riders_per_s)
    return window


def test_at_low_load_nobody_waits_for_nothing() -> None:
    """A request a minute closes its window within a twentieth of a second."""
    assert busy(1 / 60).length_s(600.0, waiting=1, free=1, carried=False) < 0.05


def test_a_busy_balanced_market_gathers_for_the_full_length() -> None:
    """Ten requests a second and about as many drivers as riders: two seconds."""
    assert busy(10.0).length_s(600.0, waiting=1, free=21, carried=False) == pytest.approx(2.0, abs=0.01)


def test_a_lopsided_market_closes_at_once() -> None:
    """With three times as many drivers as riders, or riders as drivers, there is nothing to gather for."""
    window = busy(10.0)
    assert window.length_s(600.0, waiting=1, free=80, carried=False) == 0.0
    assert window.length_s(600.0, waiting=400, free=50, carried=False) == 0.0


def test_who_was_left_unmatched_waits_for_news() -> None:
    """Trying again at once with the same people would only burn the processor."""
    assert AdaptiveWindow().length_s(0.0, waiting=5, free=5, carried=True) == 2.0
    assert FixedWindow(0.0, retry_s=3.0).length_s(0.0, waiting=5, free=5, carried=True) == 3.0


def test_the_rate_fades_after_a_rush() -> None:
    """Ten minutes after the last request the rush counts for nothing."""
    window = busy(10.0)
    assert window.length_s(1200.0, waiting=5, free=5, carried=False) < 0.001


@given(
    st.lists(st.floats(0, 1e4), max_size=50),
    st.integers(1, 10_000),
    st.integers(0, 10_000),
    st.booleans(),
)
def test_lengths_stay_within_bounds(moments: list[float], waiting: int, free: int, carried: bool) -> None:  # noqa: FBT001
    """Whatever comes, a window lasts between nothing and its longest."""
    window = AdaptiveWindow(longest_s=2.0)
    for moment in sorted(moments):
        window.arrived(moment)
    assert 0.0 <= window.length_s(1e4, waiting=waiting, free=free, carried=carried) <= 2.0
