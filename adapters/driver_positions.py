"""Drivers' last positions in Redis: a later event time wins, in any order of arrival, and old ones are not offered.

A driver is in the hash of all, in the set of all by time, and in that of the zone; one script moves it in all three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import hiredis

from adapters.feast_encoding import PROJECT
from adapters.redis_client import redis_client, unavailable
from adapters.redis_pipe import RedisPipe, command
from contracts.driver_positions import DriverPosition
from contracts.errors import Unavailable

Outcome = Literal["older", "same", "written"]
_OUTCOMES: Final[tuple[Outcome, ...]] = ("older", "same", "written")
_DRIVERS: Final = f"{PROJECT}:{{drivers}}"  # in braces: one slot of a cluster
_TIMES: Final = f"{_DRIVERS}:at"
_ZONE: Final = f"{_DRIVERS}:zone:"
MAX_AGE_S: Final = 120.0
"""Whose last word is older may be anywhere by now."""

_MICRO: Final = 1_000_000
_AT_ONCE: Final = 1000  # drivers in one call: others wait meanwhile

# ARGV: the zones' prefix, then driver, time in µs, latitude, longitude and zone of each. Answers as _OUTCOMES. Of one
# time the more northern, then the more eastern stays, whoever came first.
_UPSERT: Final = """
local answers = {}
for i = 2, #ARGV, 5 do
  local driver, at, lat, lon, zone = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local answer, held = 2, redis.call('HGET', KEYS[1], driver)
  if held then
    local of, a, b, from = string.match(held, '^(%d+) (%S+) (%S+) (.*)$')
    local time, north, east = tonumber(of) - at, tonumber(a) - tonumber(lat), tonumber(b) - tonumber(lon)
    local sign = time ~= 0 and time or (north ~= 0 and north or east)
    if sign > 0 then answer = 0 elseif sign == 0 then answer = 1 end
    if answer == 2 and from ~= zone then redis.call('ZREM', ARGV[1] .. from, driver) end
  end
  if answer == 2 then
    redis.call('HSET', KEYS[1], driver, string.format('%.0f %s %s %s', at, lat, lon, zone))
    redis.call('ZADD', KEYS[2], ARGV[i + 1], driver)
    redis.call('ZADD', ARGV[1] .. zone, ARGV[i + 1], driver)
  end
  answers[#answers + 1] = answer
end
return answers
"""

# KEYS: the hash, the set to look in. ARGV: first and last time in µs. Answers driver and what is held of it, in turns.
_READ: Final = """
local found, drivers = {}, redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[2])
for start = 1, #drivers, 1000 do
  local some = {unpack(drivers, start, math.min(start + 999, #drivers))}
  for i, held in ipairs(redis.call('HMGET', KEYS[1], unpack(some))) do
    found[#found + 1], found[#found + 2] = some[i], held
  end
end
return found
"""

# ARGV: the zones' prefix, the first time in µs that is kept, how many at most. Answers how many were let go.
_FORGET: Final = """
local drivers = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
for _, driver in ipairs(drivers) do
  local zone = string.match(redis.call('HGET', KEYS[1], driver) or '', '^%d+ %S+ %S+ (.*)$')
  if zone then redis.call('ZREM', ARGV[1] .. zone, driver) end
  redis.call('HDEL', KEYS[1], driver)
  redis.call('ZREM', KEYS[2], driver)
end
return #drivers
"""


class Move(NamedTuple):
    """Where a driver was at a time (µs); the zone is empty outside all zones."""

    driver: str
    at_us: int
    lat: float
    lon: float
    zone: str


class DriverPositionWriter:
    """Upserts by event time. It knows nothing of ages: who calls it leaves out what is too old or in the future."""

    def __init__(self, url: str, *, timeout_s: float = 2.0) -> None:
        self._redis = redis_client(url, timeout_s)
        self._upsert = self._redis.register_script(_UPSERT)
        self._forget = self._redis.register_script(_FORGET)

    def upsert(self, moves: Sequence[Move]) -> Counter[Outcome]:
        """Say what became of them. Raises Unavailable; then some may be written, and all of them again is right."""
        outcomes: Counter[Outcome] = Counter()
        for start in range(0, len(moves), _AT_ONCE):
            arguments: list[Any] = [_ZONE]
            for move in moves[start : start + _AT_ONCE]:
                arguments += (move.driver, move.at_us, repr(move.lat), repr(move.lon), move.zone)
            with _available():
                outcomes.update(_OUTCOMES[answer] for answer in self._upsert([_DRIVERS, _TIMES], arguments))
        return outcomes

    def forget(self, before_us: int) -> int:
        """Let go of some drivers not heard of since; returns how many, zero where none is left. Raises Unavailable."""
        with _available():
            return int(self._forget([_DRIVERS, _TIMES], [_ZONE, before_us, _AT_ONCE]))

    def close(self) -> None:
        """Let the connection go."""
        self._redis.close()


class RedisDriverPositions:
    """Reads them in one round trip, for who has an event loop; see DriverPositions."""

    def __init__(self, pipe: RedisPipe, *, max_age_s: float = MAX_AGE_S, future_s: float = 60.0) -> None:
        self._pipe = pipe
        self._max_age_s, self._future_s = max_age_s, future_s

    async def positions(self, zone: str | None, now: float) -> list[DriverPosition]:
        """See DriverPositions."""
        where = _TIMES if zone is None else f"{_ZONE}{zone}"
        first, last = ((now + offset) * _MICRO for offset in (-self._max_age_s, self._future_s))
        words = ("EVAL", _READ, "2", _DRIVERS, where, f"{first:.0f}", f"{last:.0f}")
        (reply,) = await self._pipe.execute(command(*(word.encode() for word in words)), 1)
        if isinstance(reply, hiredis.ReplyError):
            raise Unavailable("driver positions", "positions_unavailable", str(reply))
        return sorted(_position(driver, held) for driver, held in zip(reply[::2], reply[1::2], strict=True) if held)

    async def close(self) -> None:
        """Let the connection go."""
        self._pipe.close()


def _position(driver: bytes, held: bytes) -> DriverPosition:
    at_us, lat, lon, _ = held.split(b" ", 3)
    return DriverPosition(driver.decode(), float(lat), float(lon), int(at_us) / _MICRO)


def _available() -> Any:
    return unavailable("driver positions", "positions_unavailable")
