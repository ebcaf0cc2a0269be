"""Writes rows of Feast's Redis store in Feast's own encoding, the newest event time winning, in any order of arrival.

A row is compared and written in one step in the server, whoever else writes: a late or repeated row changes nothing,
and of two with the same time the one of higher rank stays, then the one whose bytes are greater. All rows of a batch go
in one round trip.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import redis

from adapters.feast_encoding import PROJECT, decode_timestamp, entity_key, feature_field
from adapters.online_store import FILLED
from adapters.redis_client import redis_client, unavailable
from contracts.errors import SchemaMismatch, Unavailable
from contracts.schema import ViewSpec

Outcome = Literal["written", "older", "same", "future"]
MICRO: Final = 1_000_000
_BATCH: Final = 1000  # rows a round trip
_OUTCOMES: Final[tuple[Outcome, ...]] = ("older", "same", "written")
_PACK_DOUBLE: Final = struct.Struct("<Bd").pack
_DOUBLE_TAG, _SECONDS_TAG, _NANOS_TAG = 0x29, 0x08, 0x10

# KEYS: the row. ARGV: time field, its bytes, seconds, nanos, horizon in seconds, rank field, rank, then fields and
# values. Answers 0 older, 1 the same, 2 written. A stored time beyond the horizon is nobody's: it would block the true.
_UPSERT: Final = """
local function moment(raw)
  local parts, at = {[8] = 0, [16] = 0}, 1
  while at <= #raw do
    local tag, number, scale = string.byte(raw, at), 0, 1
    at = at + 1
    repeat
      local byte = string.byte(raw, at) or 0
      number, scale, at = number + byte % 128 * scale, scale * 128, at + 1
    until byte < 128
    parts[tag] = number
  end
  return parts[8], parts[16]
end
-- Below, equal or above; not Lua's own order, which is the locale's.
local function order(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y and -1 or 1 end
  end
  return #a == #b and 0 or (#a < #b and -1 or 1)
end
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local seconds, nanos, rank = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[7])
if stored and #stored > 0 then
  local s, n = moment(stored)
  if s <= tonumber(ARGV[5]) then
    if s > seconds or (s == seconds and n > nanos) then return 0 end
    if s == seconds and n == nanos then
      local of, held = string.match(redis.call('HGET', KEYS[1], ARGV[6]) or '', '^(%S+) (%d+)$')
      held = of == ARGV[3] .. '.' .. ARGV[4] and tonumber(held) or 0
      if held > rank then return 0 end
      if held == rank then
        local fields, new = {}, {}
        for i = 8, #ARGV, 2 do
          fields[#fields + 1], new[#new + 1] = ARGV[i], ARGV[i + 1]
        end
        local old = redis.call('HMGET', KEYS[1], unpack(fields))
        local sign = 0
        for i = 1, #new do
          sign = order(new[i], old[i] or '')
          if sign ~= 0 then break end
        end
        if sign == 0 then return 1 end
        if sign < 0 then return 0 end
      end
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], unpack(ARGV, 8))
if rank > 0 then redis.call('HSET', KEYS[1], ARGV[6], ARGV[3] .. '.' .. ARGV[4] .. ' ' .. ARGV[7]) end
return 2
"""


@dataclass(frozen=True)
class Upsert:
    """One row of one view at an event time (µs since the epoch); of two with one time, the higher `rank` is fuller."""

    view: str
    key: str
    event_us: int
    values: tuple[float, ...]
    rank: int = 0


class RedisOnlineWriter:
    """Upserts by event time. A row further in the future than `future_s` is refused: it would block all that follow."""

    def __init__(self, url: str, views: Sequence[ViewSpec], *, future_s: float = 60.0, timeout_s: float = 2.0) -> None:
        self._redis = redis_client(url, timeout_s)
        self._views = {view.name: view for view in views}
        self._fields = {view.name: [feature_field(view.name, feature) for feature in view.features] for view in views}
        self._future_s = future_s
        self._sha = ""
        self.outcomes: Counter[Outcome] = Counter()

    def upsert(self, rows: Sequence[Upsert], now: float) -> list[Outcome]:
        """Say what became of each row, in their order.

        Raises SchemaMismatch for a view or a width that is not the contract's, and Unavailable; then some may be
        written, and all of them again is right.
        """
        horizon_us = round((now + self._future_s) * MICRO)
        current = [row for row in rows if row.event_us <= horizon_us]
        calls = [self._arguments(row, horizon_us // MICRO) for row in current]
        replies = [
            reply for start in range(0, len(calls), _BATCH) for reply in self._send(calls[start : start + _BATCH])
        ]
        answers = iter(replies)
        outcomes: list[Outcome] = ["future" if row.event_us > horizon_us else next(answers) for row in rows]
        self.outcomes.update(outcomes)
        return outcomes

    def stored_us(self, view: str, key: str) -> int:
        """The event time of a row, in µs; zero where there is none. Raises Unavailable."""
        with unavailable("online store", "features_unavailable"):
            raw = self._redis.hget(entity_key(self._views[view].entity, key) + PROJECT.encode(), f"_ts:{view}")
        return round(decode_timestamp(raw) * MICRO) if raw else 0

    def filled(self) -> bool:
        """Whether history's latest rows are in the store, all of them. Raises Unavailable."""
        with unavailable("online store", "features_unavailable"):
            return bool(self._redis.exists(FILLED))

    def close(self) -> None:
        """Let the connection go."""
        self._redis.close()

    def entity(self, view: str) -> str:
        """The entity that a view's keys name."""
        return self._views[view].entity

    def _arguments(self, row: Upsert, horizon_s: int) -> tuple[Any, ...]:
        view = self._views.get(row.view)
        if view is None:
            raise SchemaMismatch("online row", f"view {row.view!r}", f"one of {sorted(self._views)}")
        if len(row.values) != len(view.features):
            raise SchemaMismatch(f"row of {row.view}", f"{len(row.values)} values", str(len(view.features)))
        if row.event_us <= 0:
            raise SchemaMismatch(f"row of {row.view}", f"event time {row.event_us} µs", "after 1970")
        seconds, micros = divmod(row.event_us, MICRO)
        named = zip(self._fields[row.view], map(encode_double, row.values), strict=True)
        return (
            entity_key(view.entity, row.key) + PROJECT.encode(),
            f"_ts:{row.view}",
            encode_timestamp(row.event_us),
            seconds,
            micros * 1000,
            horizon_s,
            f"_rank:{row.view}",
            row.rank,
            *(part for pair in named for part in pair),
        )

    def _send(self, calls: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        with unavailable("online store", "features_unavailable"):
            replies = self._evaluate(calls)
            if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
                self._sha = self._redis.script_load(_UPSERT)
                replies = self._evaluate(calls)  # what was written the first time is the same now
        failed = [reply for reply in replies if isinstance(reply, Exception)]
        if failed:
            raise Unavailable("online store", "features_unavailable", str(failed[0])) from failed[0]
        return [_OUTCOMES[reply] for reply in replies]

    def _evaluate(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._sha = self._sha or self._redis.script_load(_UPSERT)
        with self._redis.pipeline(transaction=False) as pipe:
            for arguments in calls:
                pipe.evalsha(self._sha, 1, *arguments)
            replies: list[Any] = pipe.execute(raise_on_error=False)
        return replies


def encode_double(value: float) -> bytes:
    """A Value message that holds a double; empty for NaN, as Feast has it."""
    return b"" if math.isnan(value) else _PACK_DOUBLE(_DOUBLE_TAG, value)


def encode_timestamp(event_us: int) -> bytes:
    """A Timestamp message of a moment after 1970."""
    seconds, micros = divmod(event_us, MICRO)
    parts = ((_SECONDS_TAG, seconds), (_NANOS_TAG, micros * 1000))
    return b"".join(bytes([tag]) + _varint(number) for tag, number in parts if number)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
