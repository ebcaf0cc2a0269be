"""What is done to the online store itself; a module without Feast, which takes seconds to import."""

from __future__ import annotations

from typing import Any, Final

from adapters.feast_encoding import PROJECT, is_row_key
from adapters.online_store import FILLED
from contracts.features import VIEWS

_SCAN: Final = 1000  # keys that Redis looks at before it lets others in


def empty_online(store: Any) -> None:
    """Delete every online row of this project, and nothing else of a Redis that others use too."""
    config, online = store.config, store.provider.online_store
    if config.online_store.type == "sqlite":
        with online._get_conn(config) as connection:  # noqa: SLF001 - a second connection would find it locked
            for view in VIEWS:
                connection.execute(f'DELETE FROM "{PROJECT}_{view.name}"')  # noqa: S608 - a contract's name
        return
    # Not Feast's teardown: it takes the keys of every project whose name ends as ours does, and the registry with them.
    redis = online._get_client(config.online_store)  # noqa: SLF001 - Feast's own settings and credentials
    redis.delete(FILLED)
    with redis.pipeline(transaction=False) as pipe:
        for key in redis.scan_iter(match=f"*{PROJECT}", count=_SCAN):
            if is_row_key(key):
                pipe.unlink(key)
        pipe.execute()


def mark_filled(store: Any) -> None:
    """Say that all rows are there; the stream compares no trip with statistics of which some are still to come."""
    config, online = store.config, store.provider.online_store
    if config.online_store.type == "redis":
        online._get_client(config.online_store).set(FILLED, 1)  # noqa: SLF001 - Feast's own settings and credentials
