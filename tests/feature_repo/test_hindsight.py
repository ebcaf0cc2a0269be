"""Trips around a moment, counted by hand; and no label reaches a row that must not know it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.hindsight import AFTERWARDS, AROUND_S, WINDOWS, Own
from contracts.schema import Floats
from feature_repo.hindsight import Known, Neighbours

ZONES, FOLDS = 4, 3


def draw(rows: int, seed: int) -> Known:
    """Trips between four zones within a few days."""
    rng = np.random.default_rng(seed)
    return Known(
        pickup=rng.integers(0, ZONES, rows),
        dropoff=rng.integers(0, ZONES, rows),
        started_s=rng.integers(0, 4 * 86_400, rows),
        distance_m=rng.uniform(500, 9000, rows),
        duration_s=rng.uniform(60, 7200, rows),
        fold=rng.integers(0, FOLDS, rows),
    )


def around(known: Known, hidden: int | None = None) -> Floats:
    """What the trips themselves may know: without their own fold, or without another."""
    index = Neighbours(known, folds=FOLDS, zones=ZONES)
    without = known.fold if hidden is None else np.full(len(known.fold), hidden)
    own = Own(known.log_excess, known.fold)
    return index.around(known.pickup, known.dropoff, known.started_s, hidden=without, own=own)


def test_windows_hold_the_other_trips_that_began_near() -> None:
    """Before and after, the edges included; never the fold, the trip itself, or the pair in a zone's window."""
    known, hidden = draw(300, 1), 2
    rows = around(known, hidden)
    names = [one.name for one in AFTERWARDS]
    for i in range(0, 300, 7):
        others = (known.fold != hidden) & (np.arange(300) != i)
        pair = (known.pickup == known.pickup[i]) & (known.dropoff == known.dropoff[i])
        touched = {
            "city": np.ones(300, dtype=bool),
            "pickup": (known.pickup == known.pickup[i]) | (known.dropoff == known.pickup[i]),
            "dropoff": (known.pickup == known.dropoff[i]) | (known.dropoff == known.dropoff[i]),
        }
        for role, windows in WINDOWS.items():
            for window in windows:
                near = np.abs(known.started_s - known.started_s[i]) <= AROUND_S[window]
                held = others & near & (pair if role == "pair" else touched[role] & ~pair)
                assert rows[names.index(f"after_{role}_count_{window}"), i] == held.sum()
                mean = rows[names.index(f"after_{role}_log_excess_{window}"), i]
                assert np.isnan(mean) == (not held.any())
                if role == "pair" and held.any():
                    assert mean == pytest.approx(known.log_excess[held].mean(), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 20.0), st.integers(0, FOLDS - 1))
def test_a_trips_own_label_never_reaches_it(seed: int, factor: float, hidden: int) -> None:
    """Bit by bit the same row whatever it lasted, also for the teacher of another fold, who learns from it."""
    known = draw(120, seed)
    row = seed % 120
    seconds = known.duration_s.copy()
    seconds[row] = np.clip(seconds[row] * factor, 60, 7200)
    changed = replace(known, duration_s=seconds)
    for without in (None, hidden):
        np.testing.assert_array_equal(around(known, without)[:, row], around(changed, without)[:, row])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, FOLDS - 1))
def test_a_hidden_fold_reaches_nobody(seed: int, hidden: int) -> None:
    """All labels of a fold may change: neither its own rows nor those that its teacher learns from notice."""
    known = draw(120, seed)
    rng = np.random.default_rng(seed)
    seconds = np.where(known.fold == hidden, rng.uniform(60, 7200, 120), known.duration_s)
    changed = replace(known, duration_s=seconds)
    np.testing.assert_array_equal(around(known, hidden), around(changed, hidden))


def test_queries_far_from_all_trips_find_none() -> None:
    """Years before and after, counts are 0 and means absent."""
    index = Neighbours(draw(50, 3), folds=FOLDS, zones=ZONES)
    at = np.array([-(10**9), 10**9, 10**10])
    rows = index.around(np.zeros(3, int), np.ones(3, int), at, hidden=np.zeros(3, int), own=None)
    counts = np.array([not one.nullable for one in AFTERWARDS])
    assert (rows[counts] == 0).all()
    assert np.isnan(rows[~counts]).all()
