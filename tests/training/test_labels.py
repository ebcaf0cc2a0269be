"""When a record is complete, which are doubted, what stands in for them, and where nobody has been."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.schema import Floats
from contracts.trips import MAX_DURATION_S
from training.labels import (
    BACKFILL,
    BLEND,
    OUTSIDE,
    RECORD,
    SOURCES,
    TEACHER,
    TOO_FAST,
    TOO_LONG,
    TOO_SHORT,
    WAITING,
    Labels,
    Repair,
    Spread,
    draw_queries,
    fit_spread,
    fold_of,
    is_mature,
    settle,
)

SPREAD = Spread(np.empty(0), np.array([0.0]), np.array([0.25]), np.array([0.35]))
seconds = st.floats(1.0, 20_000.0)


def settled(recorded_s: Floats, teacher_s: Floats, *, mature: bool = True, distance_m: float = 500.0) -> Labels:
    """By the usual rule."""
    n = len(recorded_s)
    return settle(
        recorded_s,
        teacher_s,
        distance_m=np.full(n, distance_m),
        mature=np.full(n, mature),
        spread=SPREAD,
        rule=Repair(),
    )


def test_a_trip_is_mature_when_the_longest_of_its_time_would_have_ended() -> None:
    """Not when it ended itself: else only short ones are learned from. Lateness of reports adds to it."""
    started = np.array([0.0, 1.0])
    assert is_mature(started, MAX_DURATION_S).tolist() == [True, False]
    assert is_mature(started, MAX_DURATION_S + 600, reporting_s=600.0).tolist() == [True, False]


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30), st.floats(0, 1e9), st.floats(0, 1e6))
def test_what_is_mature_stays_so(started: list[float], now: float, later: float) -> None:
    """Time only adds."""
    before, after = (is_mature(np.array(started), moment) for moment in (now, now + later))
    assert (after | ~before).all()


@given(st.lists(st.text(), max_size=50), st.integers(2, 9))
def test_folds_belong_to_ids(ids: list[str], folds: int) -> None:
    """Whatever the order and whoever else is there."""
    found = fold_of(ids, folds)
    assert fold_of(ids[::-1], folds).tolist() == found[::-1].tolist()
    assert all(0 <= fold < folds for fold in found)


def test_folds_are_about_equal() -> None:
    """A teacher's share of the trips is what is left of them."""
    counts = np.bincount(fold_of([f"green-2020-08-{i:08d}" for i in range(30_000)], 3))
    assert counts.min() > 9_500


@settings(deadline=None)
@given(st.lists(st.tuples(seconds | st.just(float("nan")), st.floats(60, 7200)), min_size=1, max_size=40))
def test_a_label_lies_between_record_and_teacher(pairs: list[tuple[float, float]]) -> None:
    """Whatever is recorded; and an unquestioned record is left alone to the last bit."""
    recorded_s, teacher_s = (np.array(column) for column in zip(*pairs, strict=True))
    labels = settled(recorded_s, teacher_s)
    kept = labels.source == RECORD
    assert (labels.seconds[kept] == recorded_s[kept]).all()
    sound = np.isin(labels.source, (RECORD, BLEND))
    low, high = np.fmin(recorded_s, teacher_s), np.fmax(recorded_s, teacher_s)
    tiny = 1e-9 * high
    assert ((labels.seconds >= low - tiny) & (labels.seconds <= high + tiny))[sound].all()
    assert np.allclose(labels.seconds[~sound], teacher_s[~sound])
    assert set(labels.source) <= set(SOURCES)
    assert ((labels.reason == "") == kept).all()


@settings(deadline=None)
@given(st.floats(300, 2000), st.floats(1.0, 3.4), st.floats(1.0, 3.4))
def test_doubt_grows_with_the_distance_from_the_teacher(teacher: float, one: float, other: float) -> None:
    """On either side."""
    near, far = sorted((one, other))
    recorded_s = np.array([teacher * near, teacher * far, teacher / near, teacher / far])
    doubt = settled(recorded_s, np.full(4, teacher)).doubt
    assert doubt[0] <= doubt[1]
    assert doubt[2] <= doubt[3]


def test_each_fault_has_its_reason() -> None:
    """The first that applies; a record at the boundary is as much the teacher's as its own."""
    beyond = Repair().beyond
    at_boundary = 600.0 * float(np.exp(0.35 * beyond))
    recorded_s = np.array([600.0, 30.0, 9000.0, np.nan, 150.0, 2400.0, at_boundary])
    labels = settled(recorded_s, np.full(7, 600.0))
    assert labels.source.tolist() == [RECORD, TEACHER, TEACHER, BACKFILL, BLEND, BLEND, BLEND]
    assert labels.reason.tolist()[1:3] == [OUTSIDE, OUTSIDE]
    assert labels.reason.tolist()[4:6] == [TOO_SHORT, TOO_LONG]
    assert labels.quarantined.tolist()[:6] == [False, True, True, False, True, True]
    assert labels.doubt[6] == pytest.approx(0.5)
    assert labels.seconds[6] == pytest.approx(np.sqrt(600.0 * at_boundary))
    fast = settled(np.array([100.0]), np.array([600.0]), distance_m=20_000.0)
    assert (fast.source[0], fast.reason[0], fast.seconds[0]) == (TEACHER, TOO_FAST, 600.0)
    young = settled(np.array([600.0, np.nan]), np.array([600.0, 600.0]), mature=False)
    assert young.source.tolist() == [WAITING, WAITING]
    assert np.isnan(young.seconds).all()


def test_the_spread_is_measured_by_band_and_bears_a_tenth_of_wrong_records() -> None:
    """Short trips vary more than long ones; a tenth of wrong records moves the half-spreads by less than a half."""
    rng = np.random.default_rng(0)
    teacher_s = rng.uniform(300, 3000, 20_000)
    recorded_s = teacher_s * np.exp(rng.normal(0.05, np.where(teacher_s < 1000, 0.4, 0.2)))
    clean = fit_spread(recorded_s, teacher_s, Repair())
    assert clean.below[0] > 1.6 * clean.below[-1]
    assert clean.middle == pytest.approx(np.full(len(clean.middle), 0.05), abs=0.04)
    wrong = rng.random(len(teacher_s)) < 0.1
    dirty = fit_spread(np.where(wrong, recorded_s * rng.uniform(0.3, 0.6), recorded_s), teacher_s, Repair())
    assert (dirty.below < 1.5 * clean.below).all()
    few = fit_spread(recorded_s[:50], teacher_s[:50], Repair())
    assert len(few.middle) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 300), st.floats(0, 1))
def test_queries_stay_within_the_zones_and_times_of_trips(seed: int, rows: int, rare: float) -> None:
    """Sorted by time, as many as asked for, the same for the same seed."""
    rng = np.random.default_rng(seed)
    pickup, dropoff, at_s = rng.integers(0, 5, 200), rng.integers(5, 9, 200), rng.integers(1000, 9000, 200)
    found = draw_queries(pickup, dropoff, at_s, rows=rows, rare_share=rare, seed=seed)
    again = draw_queries(pickup, dropoff, at_s, rows=rows, rare_share=rare, seed=seed)
    assert len(found.at_s) == rows
    assert (np.diff(found.at_s) >= 0).all()
    assert at_s.min() <= found.at_s.min() <= found.at_s.max() <= at_s.max()
    assert set(found.pickup) <= set(pickup)
    assert set(found.dropoff) <= set(dropoff)
    np.testing.assert_array_equal(found.pickup, again.pickup)
    np.testing.assert_array_equal(found.at_s, again.at_s)


def test_queries_reach_pairs_and_hours_without_trips() -> None:
    """Where trips are one pair by day, half of the queries are of other pairs, and some are at night."""
    rng = np.random.default_rng(1)
    common = rng.random(5000) < 0.96
    pickup = np.where(common, 0, rng.integers(0, 20, 5000))
    dropoff = np.where(common, 1, rng.integers(0, 20, 5000))
    at_s = rng.integers(0, 30, 5000) * 86_400 + rng.integers(36_000, 72_000, 5000)
    found = draw_queries(pickup, dropoff, at_s, rows=4000, rare_share=0.5, seed=3)
    seen = set(zip(pickup.tolist(), dropoff.tolist(), strict=True))
    new = [pair not in seen for pair in zip(found.pickup.tolist(), found.dropoff.tolist(), strict=True)]
    assert np.mean(new) > 0.15
    assert ((found.pickup == 0) & (found.dropoff == 1)).mean() < 0.35
    assert (found.at_s % 86_400 < 36_000).mean() > 0.3
