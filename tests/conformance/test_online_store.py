"""What Feast writes, our own readers read: on SQLite and on a real Valkey, against `get_online_features`."""

from __future__ import annotations

import asyncio
import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64
from hypothesis import given
from hypothesis import strategies as st

from adapters.feast_encoding import PROJECT, decode_double, decode_timestamp, entity_key, feature_field, is_row_key
from adapters.online_store import OnlineStore, RedisOnlineStore, RowLayout
from adapters.redis_pipe import RedisPipe
from adapters.sqlite_online_store import SqliteOnlineStore
from adapters.valkey import EmbeddedValkey
from contracts.schema import Floats
from tests.fakes import VIEWS, FakeStore

WHEN = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
ROWS: dict[str, list[tuple[str, float, list[float]]]] = {  # view -> key, seconds before WHEN, values
    "city_live": [("nyc", 0, [12.0])],
    "zone_live": [("1", 0, [3.0, 4.5]), ("2", 60, [0.0, math.nan]), ("ünï", 5, [-1.5e300, 1e-300])],
    "zone_long": [("1", 3600, [7.25])],
    "pair_stats": [("1>2", 0, [600.0])],
}
WANTED = [("city", "nyc"), *(("zone", key) for key in ("1", "2", "3", "ünï")), ("pair", "1>2"), ("pair", "2>1")]


def feast_store(folder: Path, online: dict[str, Any]) -> FeatureStore:
    """A Feast with the tiny views, filled with ROWS."""
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        online_store=online,
        offline_store={"type": "dask"},
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    os.environ["FEAST_USAGE"] = "False"
    store = FeatureStore(config=config)
    entities = {
        name: Entity(name=name, join_keys=[name], value_type=ValueType.STRING) for name in ("city", "zone", "pair")
    }
    views = [
        FeatureView(
            name=view.name,
            entities=[entities[view.entity]],
            ttl=timedelta(seconds=view.ttl_s),
            schema=[Field(name=name, dtype=Float64) for name in view.features],
            source=FileSource(path=str(folder / f"{view.name}.parquet"), timestamp_field="event_timestamp"),
        )
        for view in VIEWS
    ]
    for view in VIEWS:
        frame(view.name).to_parquet(folder / f"{view.name}.parquet")
    store.apply([*entities.values(), *views])
    for view in VIEWS:
        store.write_to_online_store(view.name, frame(view.name))
    return store


def frame(view: str) -> pd.DataFrame:
    """The rows of one view as Feast takes them."""
    spec = next(of for of in VIEWS if of.name == view)
    rows = ROWS[view]
    columns: dict[str, Any] = {name: [values[i] for _, _, values in rows] for i, name in enumerate(spec.features)}
    columns[spec.entity] = [key for key, _, _ in rows]
    columns["event_timestamp"] = [WHEN - timedelta(seconds=seconds) for _, seconds, _ in rows]
    return pd.DataFrame(columns)


def compare(store: FeatureStore, reader: OnlineStore, *, clock_s: float = 1e-6) -> None:
    """Every value we read equals what Feast's SDK says of the same key, absent ones and event times too."""
    rows = asyncio.run(_read(reader))
    layout = RowLayout(VIEWS)
    for (entity, key), row in zip(WANTED, rows, strict=True):
        for view in layout.views[entity]:
            features = [f"{view.name}:{name}" for name in view.features]
            answer = store.get_online_features(features, [{entity: key}])
            sdk = answer.to_dict()
            start = layout.offsets[view.name]
            for i, name in enumerate(view.features):
                theirs, ours = sdk[name][0], row[start + 1 + i]
                assert ours == theirs or (math.isnan(ours) and (theirs is None or math.isnan(theirs))), (key, name)
            stored = [seconds for of, seconds, _ in ROWS[view.name] if of == key]
            if stored:
                assert row[start] == pytest.approx(WHEN.timestamp() - stored[0], abs=clock_s)
            else:
                assert math.isnan(row[start])


async def _read(reader: OnlineStore) -> Floats:
    try:
        return await reader.read(WANTED)
    finally:
        await reader.close()


def test_reads_what_feast_wrote_to_valkey(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    """On a real Valkey, over the unix socket and over TCP."""
    server = f"127.0.0.1:{valkey.port},password={valkey.password}"
    store = feast_store(tmp_path, {"type": "redis", "connection_string": server})
    for url in (valkey.url, valkey.socket_url):
        compare(store, RedisOnlineStore(RedisPipe(url), VIEWS))


def test_reads_what_feast_wrote_to_sqlite(tmp_path: Path) -> None:
    """On the SQLite that Feast makes."""
    store = feast_store(tmp_path, {"type": "sqlite", "path": str(tmp_path / "online.db")})
    compare(store, SqliteOnlineStore(tmp_path / "online.db", VIEWS), clock_s=1.0)  # it keeps whole seconds


def test_the_fake_answers_as_the_real_ones_do() -> None:
    """The fake store gives rows of the same shape, in order, NaN where it has nothing."""
    fake = FakeStore()
    for view, rows in ROWS.items():
        for key, seconds, values in rows:
            fake.put(view, key, WHEN.timestamp() - seconds, *values)
    found = asyncio.run(fake.read(WANTED))
    assert found.shape == (len(WANTED), RowLayout(VIEWS).width)
    assert found[0, :2].tolist() == [WHEN.timestamp(), 12.0]
    assert np.isnan(found[0, 2:]).all()
    assert np.isnan(found[3]).all()


@given(st.text(max_size=40), st.sampled_from(["city", "zone", "zone_hour"]))
def test_entity_keys_are_feasts(key: str, entity: str) -> None:
    """Any string makes the key that Feast's own serializer makes."""
    from feast.infra.key_encoding_utils import serialize_entity_key  # noqa: PLC0415
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: PLC0415
    from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415

    theirs = serialize_entity_key(
        EntityKey(join_keys=[entity], entity_values=[Value(string_val=key)]), entity_key_serialization_version=3
    )
    assert entity_key(entity, key) == theirs


@given(st.floats(allow_nan=False), st.integers(0, 2**40), st.integers(0, 999_999_999))
def test_values_and_times_are_feasts(value: float, seconds: int, nanos: int) -> None:
    """Doubles and timestamps come back from the messages that Feast writes."""
    from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415
    from google.protobuf.timestamp_pb2 import Timestamp  # noqa: PLC0415

    assert decode_double(Value(double_val=value).SerializeToString()) == value
    # The moment zero is no bytes at all, and absent: nothing was stored then.
    if seconds or nanos:
        raw = Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
        assert decode_timestamp(raw) == pytest.approx(seconds + nanos / 1e9, abs=1e-6)


def test_only_our_rows_are_taken_for_ours() -> None:
    """A key is ours to the byte: neither another project whose name ends alike, nor anything else that does."""
    assert is_row_key(entity_key("zone", "ünï") + PROJECT.encode())
    assert is_row_key(entity_key("pair", PROJECT) + PROJECT.encode())
    for other in (
        entity_key("zone", "74") + b"my" + PROJECT.encode(),
        PROJECT.encode(),
        b"session:" + PROJECT.encode(),
    ):
        assert not is_row_key(other)


def test_feature_fields_are_feasts() -> None:
    """The hash of a feature's name is Feast's."""
    from feast.infra.online_stores.helpers import _mmh3  # noqa: PLC0415

    assert feature_field("zone_live", "speed") == _mmh3("zone_live:speed")
