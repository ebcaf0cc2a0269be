"""Reads Feast 0.67's online rows in Feast's own encoding, without Feast: it writes, we read.

An entity's row is a line of floats: for each view of that entity, in their order, the event time (epoch seconds)
and then the view's features. What is not there is NaN, as is what follows in a matrix with the rows of an entity that
has more. Feast's keys have entity key serialization version 3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, Protocol, cast

import numpy as np

from adapters.feast_encoding import (
    DOUBLE_BYTES,
    DOUBLE_TAG,
    PROJECT,
    decode_double,
    decode_doubles,
    decode_timestamp,
    entity_key,
    feature_field,
)
from adapters.redis_pipe import RedisPipe
from contracts.errors import Unavailable
from contracts.schema import Floats, ViewSpec

FILLED: Final = f"{PROJECT}:filled"
"""A key of Redis that is there when history's latest rows are, all of them."""
Wanted = Sequence[tuple[str, str]]  # (entity, key)

_MANY: Final = 8  # rows of one entity; fewer are decoded sooner one by one
_KEYS_KEPT: Final = 65_536  # encoded keys; a city has some thousands


class OnlineStore(Protocol):
    """The latest rows of entities."""

    async def read(self, wanted: Wanted) -> Floats:
        """Rows [k, width] in the order of (entity, key), in one round trip; raises Unavailable."""
        ...

    async def close(self) -> None:
        """Let the connection go."""
        ...


class RowLayout:
    """Where each view's columns stand in the row of its entity."""

    def __init__(self, views: Sequence[ViewSpec]) -> None:
        self.views: dict[str, tuple[ViewSpec, ...]] = {}
        self.offsets: dict[str, int] = {}  # of a view's event time
        self.widths: dict[str, int] = {}
        for view in views:
            self.views[view.entity] = (*self.views.get(view.entity, ()), view)
            self.offsets[view.name] = self.widths.get(view.entity, 0)
            self.widths[view.entity] = self.offsets[view.name] + 1 + len(view.features)
        self.width = max(self.widths.values(), default=0)


class RedisOnlineStore:
    """Feast's Redis store: a hash an entity key, whatever the number of views; all keys in one pipelined round trip."""

    def __init__(self, pipe: RedisPipe, views: Sequence[ViewSpec]) -> None:
        self._pipe = pipe
        layout = RowLayout(views)
        self._width = layout.width
        self._readers = {entity: _EntityReader(entity, of) for entity, of in layout.views.items()}
        self._command = lru_cache(maxsize=_KEYS_KEPT)(self._hmget)

    async def read(self, wanted: Wanted) -> Floats:
        """See OnlineStore."""
        replies = await self._pipe.execute(b"".join([self._command(*one) for one in wanted]), len(wanted))
        rows = np.full((len(wanted), self._width), np.nan)
        places: dict[str, list[int]] = {entity: [] for entity in self._readers}
        for i, (entity, _) in enumerate(wanted):
            places[entity].append(i)
        for entity, of in places.items():
            if of:
                self._readers[entity].decode([replies[i] for i in of], of, rows)
        return rows

    async def close(self) -> None:
        """See OnlineStore."""
        self._pipe.close()

    def _hmget(self, entity: str, key: str) -> bytes:
        return self._readers[entity].command(key)


class _EntityReader:
    """How the rows of one entity are asked for, and read."""

    def __init__(self, entity: str, views: Sequence[ViewSpec]) -> None:
        self._entity = entity
        fields = _hash_fields(views)
        self._head = b"*%d\r\n$5\r\nHMGET\r\n" % (2 + len(fields))
        self._tail = b"".join(b"\r\n$%d\r\n%b" % (len(field), field) for field in fields) + b"\r\n"
        self._decoders = [_view_decoder(len(view.features)) for view in views]

    def command(self, key: str) -> bytes:
        name = entity_key(self._entity, key) + PROJECT.encode()
        return b"%b$%d\r\n%b%b" % (self._head, len(name), name, self._tail)

    def decode(self, replies: Sequence[list[bytes | None]], places: list[int], rows: Floats) -> None:
        """Write replies into these places of the rows; a view whose values are all there is unpacked at once."""
        for reply in replies:
            if not isinstance(reply, list):
                raise Unavailable("online store", "features_unavailable", str(reply))
        if len(replies) < _MANY:
            for place, reply in zip(places, replies, strict=True):
                self._decode_one(reply, rows[place])
            return
        stride = len(replies[0])
        fields = list(chain.from_iterable(replies))
        start = 0
        for width, decode in self._decoders:
            end = start + width
            values = decode_doubles([fields[column::stride] for column in range(start + 1, end)])
            if values is None:
                rows[places, start:end] = [decode(reply[start:end]) for reply in replies]
            else:
                rows[places, start] = list(map(decode_timestamp, fields[start::stride]))
                rows[places, start + 1 : end] = values.T
            start = end

    def _decode_one(self, reply: list[bytes | None], row: Floats) -> None:
        start = 0
        for width, decode in self._decoders:
            row[start : start + width] = decode(reply[start : start + width])
            start += width


def _view_decoder(features: int) -> tuple[int, Callable[[list[bytes | None]], list[float]]]:
    """How many fields a view's reply has, and what turns them into its part of the row.

    A whole row is unpacked at once: this is most of what a read of many trips costs.
    """
    nothing = [math.nan] * (features + 1)
    tags, size = bytes([DOUBLE_TAG]) * features, DOUBLE_BYTES * features
    unpack = struct.Struct("<" + "xd" * features).unpack

    def decode(fields: list[bytes | None]) -> list[float]:
        event_time, *values = fields
        if event_time is None:
            return nothing
        if None not in values:
            joined = b"".join(cast("list[bytes]", values))
            if len(joined) == size and joined[::DOUBLE_BYTES] == tags and all(values):
                return [decode_timestamp(event_time), *unpack(joined)]
        return [decode_timestamp(event_time), *map(decode_double, values)]

    return features + 1, decode


def _hash_fields(views: Iterable[ViewSpec]) -> tuple[bytes, ...]:
    fields: list[bytes] = []
    for view in views:
        fields.append(f"_ts:{view.name}".encode())
        fields.extend(feature_field(view.name, feature) for feature in view.features)
    return tuple(fields)
