"""Fading statistics against a sum by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.snapshots import FORGET_WEIGHT, REWRITE_DAYS, Snapshots, daily_snapshots, mean_of

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 70), st.floats(-3, 3)), min_size=1, max_size=40)


def _build(events: list[tuple[int, int, float]]) -> Snapshots:
    key, day, value = (np.array(column) for column in zip(*events, strict=True))
    values = np.stack([np.ones(len(key)), value.astype(np.float64)], axis=1)
    return daily_snapshots(key, day, values, 4, half_life_days=10.0)


@settings(deadline=None)
@given(EVENTS)
def test_a_snapshot_has_the_days_before_it_faded(events: list[tuple[int, int, float]]) -> None:
    """At each midnight the sums are those of earlier days, the day just over counting whole."""
    snapshots = _build(events)
    for key, day, sums in zip(snapshots.key, snapshots.day, snapshots.sums, strict=True):
        past = [(0.5 ** ((day - 1 - when) / 10.0), value) for of, when, value in events if of == key and when < day]
        assert sums == pytest.approx([sum(w for w, _ in past), sum(w * v for w, v in past)], abs=1e-9)


@settings(deadline=None)
@given(EVENTS)
def test_snapshots_are_sorted_written_once_and_often_enough(events: list[tuple[int, int, float]]) -> None:
    """One row a key and midnight: after each day with events, and never more than REWRITE_DAYS apart."""
    snapshots = _build(events)
    rows = list(zip(snapshots.key.tolist(), snapshots.day.tolist(), strict=True))
    assert rows == sorted(set(rows))
    assert {(key, day + 1) for key, day, _ in events} <= set(rows)
    for key, day in rows:
        later = [d for k, d in rows if k == key and d > day]
        weight = snapshots.sums[rows.index((key, day)), 0]
        if later and weight * 0.5 ** (REWRITE_DAYS / 10.0) >= FORGET_WEIGHT:
            assert min(later) - day <= REWRITE_DAYS


def test_as_of_takes_the_latest_that_is_not_too_old() -> None:
    """The snapshot of that midnight or the last before; zeros before the first, for a stranger and past the age."""
    snapshots = _build([(1, 5, 2.0)])
    found = snapshots.as_of(np.array([1, 1, 1, 1, 0]), np.array([5, 6, 9, 60, 6]), 20.0)
    assert found[:, 0] == pytest.approx([0.0, 1.0, 1.0, 0.0, 0.0])


def test_no_events_no_snapshots() -> None:
    """An empty history answers with zeros."""
    empty = daily_snapshots(np.empty(0, np.intp), np.empty(0, np.int64), np.empty((0, 2)), 4)
    assert empty.as_of(np.array([2]), np.array([3]), 10.0).tolist() == [[0.0, 0.0]]


def test_a_mean_without_weight_is_absent() -> None:
    """No weight, no mean."""
    np.testing.assert_array_equal(mean_of(np.array([1.0, 0.0]), np.array([2.0, 0.0])), [0.5, np.nan])
