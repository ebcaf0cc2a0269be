"""Feast 0.67's encoding of keys, fields and values, without Feast: entity key serialization version 3."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, cast

import mmh3
import numpy as np

from contracts.errors import Unavailable
from contracts.schema import Floats

PROJECT: Final = "tandem"
"""Feast's name of the project; it ends every key of Redis."""

_PROJECT: Final = PROJECT.encode()
_NAME_AT: Final = 12  # of the entity's name in a key, after three numbers
_STRING: Final = 2  # ValueType.STRING
DOUBLE_TAG: Final = 0x29  # Value.double_val, field 5, 64 bit
DOUBLE_BYTES: Final = 9
_TAGGED: Final = np.dtype([("tag", "u1"), ("value", "<f8")])
_UNPACK_DOUBLE: Final = struct.Struct("<xd").unpack
_SECONDS_TAG, _NANOS_TAG = 0x08, 0x10  # Timestamp's fields 1 and 2, varints


def entity_key(entity: str, key: str) -> bytes:
    """Feast's serialized key of one string entity whose join key has the entity's name (version 3)."""
    name, value = entity.encode(), key.encode()
    return struct.pack("<III", 1, _STRING, len(name)) + name + struct.pack("<II", _STRING, len(value)) + value


def is_row_key(raw: bytes) -> bool:
    """Whether a Redis key is a row of this project's; the keys of another whose name ends alike are not."""
    if not raw.endswith(_PROJECT):
        return False
    try:
        (size,) = struct.unpack_from("<I", raw, _NAME_AT - 4)
        name, value = raw[_NAME_AT : _NAME_AT + size], raw[_NAME_AT + size + 8 : -len(_PROJECT)]
        return raw == entity_key(name.decode(), value.decode()) + _PROJECT
    except (struct.error, UnicodeDecodeError):
        return False


def feature_field(view: str, feature: str) -> bytes:
    """The hash field of a feature: murmur3 of ``view:feature``, little endian."""
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


def decode_double(value: bytes | None) -> float:
    """A Value message that holds a double; NaN where it is empty or missing, since Feast stores NaN so."""
    if not value:
        return math.nan
    if len(value) != DOUBLE_BYTES or value[0] != DOUBLE_TAG:
        raise Unavailable("online store", "features_unavailable", f"{value!r} is not a double of Feast's encoding")
    number: float = _UNPACK_DOUBLE(value)[0]
    return number


@lru_cache(maxsize=8192)  # rows that were written together share one
def decode_timestamp(value: bytes | None) -> float:
    """A Timestamp message in epoch seconds; NaN where it is missing."""
    if not value:
        return math.nan
    parts = {_SECONDS_TAG: 0, _NANOS_TAG: 0}
    at = 0
    while at < len(value):
        tag, at = value[at], at + 1
        number = shift = 0
        while True:
            byte = value[at]
            number |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:  # noqa: PLR2004 - a varint's last byte
                break
        parts[tag] = number
    return parts[_SECONDS_TAG] + parts[_NANOS_TAG] / 1e9


def decode_doubles(columns: Sequence[list[bytes | None]]) -> Floats | None:
    """Values [columns, rows] of fields that all hold a double; None where one does not."""
    fields = list(chain.from_iterable(columns))
    if not all(fields):
        return None
    joined = b"".join(cast("list[bytes]", fields))
    if len(joined) != DOUBLE_BYTES * len(fields):
        return None
    values = np.frombuffer(joined, dtype=_TAGGED)
    return values["value"].reshape(len(columns), -1) if (values["tag"] == DOUBLE_TAG).all() else None
