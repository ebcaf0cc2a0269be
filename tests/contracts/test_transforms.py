"""The row transforms: known values, and one row is like many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.distance import haversine_m, typical_log_s
from contracts.features import DAY_PARTS, ETA_SCHEMA, FEATURES, LOOKED_UP, LOOKUPS, OFFSET
from contracts.schema import Floats, Matrix
from contracts.transforms import day_part, reference_log_s, shrink, trip_keys, trip_vectors
from contracts.zones import PairGeometry, Positions
from tests.some_trips import START, ZONES

AT = START.timestamp()


def _draw(rows: int, seed: int, absent: float = 0.2) -> dict[str, Floats]:
    """Looked-up columns; weights and counts are never negative, and an empty average is NaN."""
    rng = np.random.default_rng(seed)
    columns = {}
    for name in LOOKED_UP:
        positive = any(word in name for word in ("weight", "count", "speed", "spread"))
        values = rng.integers(0, 50, rows).astype(np.float64) if positive else rng.normal(0, 0.3, rows)
        columns[name] = np.where(rng.random(rows) < absent, np.nan, values)
    return columns


def _nothing(rows: int) -> dict[str, Floats]:
    return {name: np.full(rows, np.nan) for name in LOOKED_UP}


def _vectors(pickup: Positions, dropoff: Positions, at: Floats, looked_up: dict[str, Floats]) -> Matrix:
    return trip_vectors(ZONES, pickup, dropoff, at, np.array([looked_up[name] for name in LOOKED_UP]))


def _one(pickup: int, dropoff: int, looked_up: dict[str, Floats]) -> dict[str, float]:
    """One trip's entries by name."""
    (vector,) = _vectors(np.array([pickup]), np.array([dropoff]), np.array([AT]), looked_up).tolist()
    return dict(zip(ETA_SCHEMA.names, vector, strict=True))


def test_haversine_knows_a_degree_and_a_journey() -> None:
    """A degree of the equator, and Paris to London."""
    points = np.array([[0.0, 0.0, 0.0, 1.0], [48.8566, 2.3522, 51.5074, -0.1278]]).T
    assert haversine_m(*points) == pytest.approx([111_195.08, 343_556], rel=1e-5)


def test_shrinking_goes_from_the_prior_to_the_mean() -> None:
    """Without weight it is the prior's value, with much weight the mean; NaN is no weight."""
    mean, weight = np.array([1.0, np.nan, 1.0, 1.0]), np.array([0.0, np.nan, 5.0, 1e9])
    assert shrink(mean, weight, 0.2, 5.0) == pytest.approx([0.2, 0.2, 0.6, 1.0])


def test_parts_of_the_day_begin_at_their_hours() -> None:
    """Each hour belongs to the part that began last."""
    parts = [list(DAY_PARTS)[i] for i in day_part(np.arange(24))]
    assert parts[:7] == ["night"] * 6 + ["morning"]
    assert [parts[hour] for hour in DAY_PARTS.values()] == list(DAY_PARTS)
    assert parts[21:] == ["late", "night", "night"]


def test_a_pair_never_seen_has_the_reference_of_its_zones_and_distance() -> None:
    """The reference falls back from the pair to its zones and to what is typical for the distance."""
    distance = np.array([3000.0])
    assert reference_log_s(distance, _nothing(1)) == typical_log_s(distance)
    zones = _nothing(1) | {"outbound.weight": np.array([1e9]), "outbound.log_excess": np.array([0.4])}
    assert reference_log_s(distance, zones) == pytest.approx(typical_log_s(distance) + 0.2)
    pair = zones | {"pair.weight": np.array([1e9]), "pair.log_excess": np.array([-0.1])}
    assert reference_log_s(distance, pair) == pytest.approx(typical_log_s(distance) - 0.1)


def test_keys_name_every_role() -> None:
    """Each role that is looked up has its key; hours are local, from Monday 00:00."""
    keys = trip_keys(["74"], ["138"], np.array([AT]))  # a Friday's midnight in New York
    assert set(keys) == {one.role for one in LOOKUPS}
    assert (keys["pair"], keys["reverse"]) == (["74>138"], ["138>74"])
    assert (keys["outbound"], keys["inbound"]) == (["74>*"], ["*>138"])
    assert (keys["pickup_hour"], keys["dropoff_hour"], keys["city_hour"]) == (["74|096"], ["138|096"], ["*|096"])


@pytest.mark.parametrize("absent", [0.0, 0.3, 1.0])
def test_what_may_not_be_absent_never_is(absent: float) -> None:
    """With some or all of the store gone, only nullable entries are NaN, and all are within their bounds."""
    rows = 200
    rng = np.random.default_rng(1)
    pickup, dropoff = rng.integers(0, 4, rows), rng.integers(0, 4, rows)
    matrix = _vectors(pickup, dropoff, AT + 600.0 * np.arange(rows), _draw(rows, 2, absent))
    for i, feature in enumerate(FEATURES):
        assert feature.nullable or not np.isnan(matrix[:, i]).any(), feature.name
        inside = matrix[:, i][~np.isnan(matrix[:, i])]
        assert ((inside >= np.float32(feature.low)) & (inside <= np.float32(feature.high))).all(), feature.name


def test_without_a_store_the_offset_is_what_is_typical() -> None:
    """With nothing looked up, the offset is the typical duration of the distance."""
    vector = _one(0, 3, _nothing(1))
    assert vector[OFFSET] == pytest.approx(typical_log_s(np.array(vector["distance_km"] * 1000)), rel=1e-6)


def test_a_slow_city_moves_the_offset() -> None:
    """An hour of many slow trips adds its log-ratio to the offset."""
    slow = _nothing(1) | {"city.count_60m": np.array([1e6]), "city.log_ratio_60m": np.array([0.25])}
    assert _one(0, 3, slow)[OFFSET] - _one(0, 3, _nothing(1))[OFFSET] == pytest.approx(0.25, abs=1e-5)


def test_the_reference_is_the_one_that_history_is_made_with() -> None:
    """What the statistics in the store are relative to is what the vector's entry is."""
    rows = 50
    looked_up, rng = _draw(rows, 3), np.random.default_rng(3)
    pickup, dropoff = rng.integers(0, 4, rows), rng.integers(0, 4, rows)
    entry = _vectors(pickup, dropoff, np.full(rows, AT), looked_up)[:, ETA_SCHEMA.names.index("reference_log_s")]
    distance_m = ZONES.pairs.of(pickup, dropoff)[0] * 1000
    assert entry == pytest.approx(np.clip(reference_log_s(distance_m, looked_up), 3, 10), rel=1e-6)


def test_pairs_of_a_large_city_are_computed_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without a table of all pairs the geometry is the same."""
    pickup, dropoff = np.array([0, 1, 3]), np.array([2, 1, 0])
    tabled = PairGeometry(ZONES).of(pickup, dropoff)
    monkeypatch.setattr("contracts.zones._TABLE_ZONES", 0)
    np.testing.assert_array_equal(PairGeometry(ZONES).of(pickup, dropoff), tabled)


def test_a_trip_within_a_zone_has_no_bearing() -> None:
    """Where there is no way to point, both bearing entries are zero."""
    within = _one(1, 1, _nothing(1))
    assert (within["bearing_sin"], within["bearing_cos"], within["distance_km"]) == (0.0, 0.0, 0.0)
    east = _one(1, 3, _nothing(1))
    assert math.hypot(east["bearing_sin"], east["bearing_cos"]) == pytest.approx(1.0)
    assert east["bearing_sin"] > 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_one_row_is_like_many(seed: int) -> None:
    """A trip's vector does not depend on what else is in its batch, bit by bit."""
    rng = np.random.default_rng(seed)
    rows = 7
    pickup, dropoff = rng.integers(0, 4, rows), rng.integers(0, 4, rows)
    at, looked_up = AT + rng.integers(0, 10**7, rows), _draw(rows, seed)
    many = _vectors(pickup, dropoff, at, looked_up)
    for i in range(rows):
        one = slice(i, i + 1)
        alone = _vectors(pickup[one], dropoff[one], at[one], {k: v[one] for k, v in looked_up.items()})
        np.testing.assert_array_equal(alone[0], many[i])
