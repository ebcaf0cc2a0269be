"""A Feast repository over Valkey for the rows that use Feast: the contract's views, and the settings for production."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, String
from feast.value_type import ValueType

from adapters.feast_encoding import PROJECT
from adapters.valkey import EmbeddedValkey
from contracts.features import VIEWS

REGISTRY_TTL_S = 60


def on_valkey(valkey: EmbeddedValkey) -> dict[str, str]:
    """Feast's Redis store over a Valkey."""
    return {"type": "redis", "connection_string": f"127.0.0.1:{valkey.port},password={valkey.password}"}


def on_sqlite(path: Path) -> dict[str, str]:
    """Feast's SQLite store."""
    return {"type": "sqlite", "path": str(path)}


def feature_store(folder: Path, online_store: dict[str, str]) -> Any:
    """Write a repository's feature_store.yaml and apply the views of the contract."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = folder / "registry.db"
    registry.unlink(missing_ok=True)
    settings = {
        "project": PROJECT,
        "provider": "local",
        "registry": {"registry_type": "sql", "path": f"sqlite:///{registry}", "cache_ttl_seconds": REGISTRY_TTL_S},
        "online_store": online_store,
        "offline_store": {"type": "duckdb"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    store = FeatureStore(repo_path=str(folder))
    entities = {
        name: Entity(name=name, join_keys=[name], value_type=ValueType.STRING) for name in {v.entity for v in VIEWS}
    }
    views = [
        FeatureView(
            name=view.name,
            entities=[entities[view.entity]],
            ttl=timedelta(seconds=view.ttl_s),
            schema=[Field(name=view.entity, dtype=String), *(Field(name=n, dtype=Float64) for n in view.features)],
            source=FileSource(path=str(folder / f"{view.name}.parquet"), timestamp_field="event_timestamp"),
        )
        for view in VIEWS
    ]
    store.apply([*entities.values(), *views])
    return store
