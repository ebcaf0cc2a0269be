"""Windows against a count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.local_time import Ints
from feature_repo.windows import WindowRows, grid_after, to_micro, window_rows

GRID, WINDOWS = 10, (30, 60, 600)
EVENTS = st.lists(st.tuples(st.integers(-500, 3000), st.integers(-(10**7), 10**7)), min_size=1, max_size=40)


def _build(events: list[tuple[int, int]], until: int = 10_000, repeat: int | None = None) -> WindowRows:
    events = sorted(events)
    ended, values = (np.array(column, dtype=np.int64) for column in zip(*events, strict=True))
    return window_rows(ended, values[:, None], WINDOWS, grid=GRID, until=until, repeat=repeat)


def _by_hand(events: list[tuple[int, int]], at: int) -> tuple[list[int], list[int]]:
    held = [[value for ended, value in events if at - window < ended <= at] for window in WINDOWS]
    return [len(values) for values in held], [sum(values) for values in held]


@settings(deadline=None)
@given(EVENTS)
def test_every_row_is_right_and_between_rows_nothing_changes(events: list[tuple[int, int]]) -> None:
    """At every grid time the latest row has exactly the events of (g - W, g]; no event is a row of zeros."""
    rows = _build(events)
    for at in range(-600, 4000, GRID):
        counts, sums = _by_hand(events, at)
        latest = int(np.searchsorted(rows.at, at, "right")) - 1
        found = (rows.counts[latest].tolist(), rows.sums[latest, :, 0].tolist()) if latest >= 0 else ([0] * 3, [0] * 3)
        assert found == (counts, sums)


@given(EVENTS)
def test_rows_are_on_the_grid_where_something_entered_or_left(events: list[tuple[int, int]]) -> None:
    """A row stands only where an event enters or leaves a window."""
    rows = _build(events)
    moments = {int(grid_after(np.array([t]), GRID)[0]) + shift for t, _ in events for shift in (0, *WINDOWS)}
    assert rows.at.tolist() == sorted(moments)


@given(EVENTS, st.randoms(use_true_random=False))
def test_sums_are_exact_and_merge(events: list[tuple[int, int]], random: object) -> None:
    """Two halves of the events, added up, are the whole, to the last millionth."""
    left, right = events[::2], events[1::2] or [(-10_000, 0)]
    whole, parts = _build(events), (_build(left), _build(right))

    def at(rows: WindowRows, moment: int) -> tuple[Ints, Ints]:
        i = int(np.searchsorted(rows.at, moment, "right")) - 1
        return (rows.counts[i], rows.sums[i]) if i >= 0 else (np.zeros(3, np.int64), np.zeros((3, 1), np.int64))

    for moment, counts, sums in zip(whole.at, whole.counts, whole.sums, strict=True):
        pieces = [at(part, int(moment)) for part in parts]
        np.testing.assert_array_equal(pieces[0][0] + pieces[1][0], counts)
        np.testing.assert_array_equal(pieces[0][1] + pieces[1][1], sums)


def test_an_event_on_the_grid_is_in_at_once_and_out_after_its_window() -> None:
    """(g - W, g]: an event at g counts at g, and no longer at g + W."""
    rows = _build([(100, 5)])
    assert rows.at.tolist() == [100, 130, 160, 700]
    assert rows.counts.tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert np.isnan(rows.means()[1:, 0]).all()
    assert rows.means()[0, :, 0] == pytest.approx(5e-6)


def test_nothing_is_said_of_times_that_are_not_known_yet() -> None:
    """History ends where its events end: a window that would empty later has no row."""
    assert _build([(100, 5), (155, 1)], until=155).at.tolist() == [100, 130]


def test_a_quiet_key_is_written_again_while_a_window_holds_it() -> None:
    """With `repeat`, rows come at its multiples until the longest window is empty."""
    rows = _build([(100, 5)], repeat=200)
    assert rows.at.tolist() == [100, 130, 160, 200, 400, 600, 700]
    assert _build([(100, 5)], until=500, repeat=200).at.tolist() == [100, 130, 160, 200, 400]


def test_micro_units_round_to_nearest() -> None:
    """Whole millionths, whatever the float's last bits."""
    assert to_micro(np.array([0.1, -0.3, 1.0000004, 2e-7])).tolist() == [100_000, -300_000, 1_000_000, 0]
