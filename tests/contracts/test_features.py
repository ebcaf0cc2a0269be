"""The lists of views, lookups and features fit each other."""

from __future__ import annotations

from dataclasses import replace

from contracts.features import (
    DAY_PARTS,
    ETA_SCHEMA,
    FEATURES,
    LIVE_VIEWS,
    LONG_GRID_S,
    LONG_REPEAT_S,
    LONG_VIEWS,
    LONG_WINDOWS_S,
    LOOKUPS,
    OFFSET,
    SHORT_GRID_S,
    SHORT_WINDOWS_S,
    VIEWS,
)
from contracts.schema import FeatureSchema


def test_names_are_unique() -> None:
    """No view, no looked-up column and no entry of the vector is there twice."""
    features = {view.name: view.features for view in VIEWS}
    columns = [f"{one.role}.{name}" for one in LOOKUPS for name in features[one.view]]
    for names in ([view.name for view in VIEWS], columns, ETA_SCHEMA.names):
        assert len(set(names)) == len(names)


def test_lookups_and_live_views_exist() -> None:
    """What is looked up and what is masked are views; a role has one entity."""
    views = {view.name: view for view in VIEWS}
    assert {one.view for one in LOOKUPS} | set(LIVE_VIEWS) | set(LONG_VIEWS) <= set(views)
    entities: dict[str, set[str]] = {}
    for one in LOOKUPS:
        entities.setdefault(one.role, set()).add(views[one.view].entity)
    assert all(len(of) == 1 for of in entities.values())


def test_the_vector_is_short_and_has_its_offset() -> None:
    """At most 45 entries; the offset is never absent."""
    assert len(FEATURES) <= 45
    offset = FEATURES[ETA_SCHEMA.names.index(OFFSET)]
    assert not offset.nullable
    assert all(one.low < one.high for one in FEATURES)


def test_windows_fit_their_grids() -> None:
    """A window is a whole number of steps, and the day's parts begin at different hours."""
    assert all(seconds % SHORT_GRID_S == 0 for seconds in SHORT_WINDOWS_S.values())
    assert all(seconds % LONG_GRID_S == 0 for seconds in LONG_WINDOWS_S.values())
    assert LONG_REPEAT_S % LONG_GRID_S == 0
    assert len(set(DAY_PARTS.values())) == len(DAY_PARTS)


def test_feast_can_take_every_ttl() -> None:
    """A TTL is whole days or less than one day, and a long value is written again before it is over it."""
    assert all(view.ttl_s % 86_400 == 0 or view.ttl_s < 86_400 for view in VIEWS)
    assert all(view.ttl_s > LONG_REPEAT_S for view in VIEWS if view.name in LONG_VIEWS)


def test_the_hash_follows_order_and_bounds() -> None:
    """Another order or another bound is another schema."""
    swapped = FeatureSchema(ETA_SCHEMA.name, (FEATURES[1], FEATURES[0], *FEATURES[2:]))
    bounded = FeatureSchema(ETA_SCHEMA.name, (replace(FEATURES[0], high=1.0), *FEATURES[1:]))
    same = FeatureSchema(ETA_SCHEMA.name, FEATURES)
    assert same.schema_hash() == ETA_SCHEMA.schema_hash()
    assert len({ETA_SCHEMA.schema_hash(), swapped.schema_hash(), bounded.schema_hash()}) == 3
