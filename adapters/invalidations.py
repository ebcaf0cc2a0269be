"""Tells every cache of the online store which rows were written anew, through the store's own server.

It is written after the rows; who dies in between leaves caches behind by their TTL at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from adapters.redis_stream import RedisStream, RedisStreamPolicy
from adapters.streams import Stream
from contracts.events import (
    FEATURES_INVALIDATED,
    MAX_INVALIDATED,
    SCHEMA_VERSION,
    FeaturesInvalidated,
    encode_event,
)

_KEPT: Final = 10_000  # messages; a cache that has missed more drops all it has


def invalidations_stream(url: str) -> Stream:
    """The stream that replicas listen to, in the server of the rows."""
    return RedisStream(url, RedisStreamPolicy(max_len=_KEPT))


def publish_invalidations(stream: Stream, keys: Iterable[tuple[str, str]]) -> int:
    """Publish the (entity, key) of rows that changed, each once; returns how many. Raises Unavailable."""
    changed = list(dict.fromkeys(keys))
    parts = (changed[start : start + MAX_INVALIDATED] for start in range(0, len(changed), MAX_INVALIDATED))
    events = [FeaturesInvalidated(schema_version=SCHEMA_VERSION, keys=tuple(part)) for part in parts]
    if events:
        stream.publish(FEATURES_INVALIDATED, [("", encode_event(event)) for event in events])
    return len(changed)
