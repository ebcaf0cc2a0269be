"""Looked-up columns: what is absent, and that a request is one read."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from contracts.errors import SchemaMismatch, Unavailable
from contracts.schema import Floats, Lookup
from serving.cached_rows import CachedRows, CachePolicy
from serving.features import FeatureReader
from tests.fakes import LOOKUPS, NOW, VIEWS, WIDTH, FakeClock, FakeStore

KEYS = {"city": ["nyc", "nyc"], "pickup": ["1", "2"], "dropoff": ["2", "2"], "pair": ["1>2", "2>2"]}


def read(store: FakeStore, at: Floats | None = None) -> dict[str, Floats]:
    """Columns of two trips that start now, or at the given times."""
    reader = FeatureReader(rows_of(store), VIEWS, LOOKUPS, future_skew_s=60)
    found = asyncio.run(reader.read(KEYS, np.full(2, NOW) if at is None else at, NOW))
    return dict(zip(reader.names, found.values, strict=True))


def rows_of(store: FakeStore) -> CachedRows:
    """A cache around a store."""
    return CachedRows(store, WIDTH, CachePolicy(deadline_s=1.0), FakeClock())


def test_ages_are_those_of_the_rows() -> None:
    """Seconds since each looked-up row's own time, NaN where it is absent."""
    store = FakeStore()
    store.put("city_live", "nyc", NOW - 7, 7.0)
    reader = FeatureReader(rows_of(store), VIEWS, LOOKUPS, future_skew_s=60)
    ages = asyncio.run(reader.read(KEYS, np.full(2, NOW), NOW)).ages_s
    assert ages[0].tolist() == [7.0, 7.0]
    assert np.isnan(ages[1:]).all()


def test_columns_follow_their_keys() -> None:
    """Every trip gets its own keys' values, by role."""
    store = FakeStore()
    store.put("zone_live", "1", NOW - 1, 3.0, 4.0)
    store.put("zone_live", "2", NOW - 1, 5.0, 6.0)
    store.put("pair_stats", "1>2", NOW - 1, 600.0)
    columns = read(store)
    assert columns["pickup.count"].tolist() == [3.0, 5.0]
    assert columns["dropoff.count"].tolist() == [5.0, 5.0]
    assert columns["pair.median_s"][0] == 600.0
    assert math.isnan(columns["pair.median_s"][1])


def test_one_read_without_repetition() -> None:
    """Keys that several trips or roles share are read once."""
    store = FakeStore()
    store.put("city_live", "nyc", NOW, 7.0)
    read(store)
    assert len(store.reads) == 1
    assert len(store.reads[0]) == len(set(store.reads[0])) == 5


@pytest.mark.parametrize(("age_s", "present"), [(0, True), (2400, True), (2401, False), (-60, True), (-61, False)])
def test_age_is_judged_by_the_rows_own_time(age_s: float, present: bool) -> None:  # noqa: FBT001
    """Older than the TTL is absent, and so is what is stamped too far ahead."""
    store = FakeStore()
    store.put("city_live", "nyc", NOW, 7.0)
    store.put("zone_live", "1", NOW - age_s, 3.0, 4.0)
    assert math.isnan(read(store)["pickup.count"][0]) is not present


def test_live_values_do_not_reach_into_a_far_start() -> None:
    """A trip that starts after the TTL has no live value; one that started in the past keeps it."""
    store = FakeStore()
    store.put("city_live", "nyc", NOW - 10, 7.0)
    columns = read(store, np.array([NOW + 3600, NOW - 3600]))
    assert math.isnan(columns["city.count"][0])
    assert columns["city.count"][1] == 7.0


def test_views_of_one_entity_age_apart() -> None:
    """A stale live row does not take the long one with it."""
    store = FakeStore()
    store.put("zone_live", "1", NOW - 5000, 3.0, 4.0)
    store.put("zone_long", "1", NOW - 5000, 9.0)
    columns = read(store)
    assert columns["pickup.speed"][0] == 9.0


@pytest.mark.parametrize("age_s", [None, 2401])
def test_a_store_without_any_value_is_as_good_as_gone(age_s: float | None) -> None:
    """Neither a store that was never filled nor one with nothing but stale rows passes for an answer."""
    store = FakeStore()
    if age_s is not None:
        store.put("zone_live", "1", NOW - age_s, 3.0, 4.0)
    with pytest.raises(Unavailable, match="2 trips") as caught:
        read(store)
    assert caught.value.reason == "features_unavailable"


def test_a_late_store_is_a_timeout() -> None:
    """The deadline is ours, and says so."""
    with pytest.raises(Unavailable, match="1000 ms") as caught:
        read(FakeStore(hangs=True))
    assert caught.value.reason == "features_timeout"


def test_a_lookup_of_no_view_is_refused() -> None:
    """A lookup names a view that there is."""
    with pytest.raises(SchemaMismatch, match="traffic"):
        FeatureReader(rows_of(FakeStore()), VIEWS, [Lookup("x", "traffic")], future_skew_s=1)
