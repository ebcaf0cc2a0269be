"""Feast's FeatureStore for a TANDEM_HOME: SQL registry, DuckDB offline, Redis or SQLite online."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feast import FeatureStore, RepoConfig

from adapters.redis_address import parse_url
from contracts.errors import InvalidInput
from feature_repo import definitions


def open_store(home: Path, *, redis_url: str | None) -> Any:
    """Open the store below a home and register the definitions; online it is Redis, or SQLite where there is no URL.

    Raises InvalidInput for a URL that Feast cannot take.
    """
    home = home.resolve()
    (home / "feast").mkdir(parents=True, exist_ok=True)
    online = (
        {"type": "sqlite", "path": str(home / "feast" / "online_store.db")}
        if redis_url is None
        else {"type": "redis", "connection_string": redis_connection(redis_url)}
    )
    config = RepoConfig(
        project=definitions.PROJECT,
        provider="local",
        # The file registry is not safe where two write.
        registry={"registry_type": "sql", "path": f"sqlite:///{home / 'feast' / 'registry.db'}"},
        # Its "file" store drops rows in point-in-time joins.
        offline_store={"type": "duckdb"},
        online_store=online,
        entity_key_serialization_version=3,
        repo_path=home,
    )
    store = FeatureStore(config=config)
    store.apply([*definitions.ENTITIES, *definitions.feature_views(home / "features")])
    return store


def redis_connection(url: str) -> str:
    """Feast's connection string of a redis:// or rediss:// URL; raises InvalidInput."""
    try:
        address = parse_url(url)
    except ValueError:
        address = None
    if address is None or not address.host:  # a unix socket has none, and Feast takes none
        scheme, mark, _ = url.partition("://")  # no more is told: the rest may hold a password
        found = scheme + mark if mark else "no scheme"
        raise InvalidInput("redis_url", f"({found}…) must be redis[s]://[user:password@]host[:port][/db], for Feast")
    if "," in address.password:
        raise InvalidInput("redis_url", "the password has a comma, which Feast's connection string cannot carry")
    options = {
        "db": address.database,
        "username": address.user,
        "password": address.password,
        "ssl": "true" if address.tls else "",
    }
    given = [f"{name}={value}" for name, value in options.items() if value]
    return ",".join([f"{address.host}:{address.port}", *given])
