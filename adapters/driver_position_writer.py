"""Writes drivers' positions into Redis by event time; see `adapters.driver_positions`, which reads them.

Apart from it, since a replica, which only reads, has no need of redis-py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from adapters.driver_positions import DRIVERS, TIMES, ZONE
from adapters.redis_client import redis_client, unavailable

Outcome = Literal["older", "same", "written"]
_OUTCOMES: Final[tuple[Outcome, ...]] = ("older", "same", "written")
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
            arguments: list[Any] = [ZONE]
            for move in moves[start : start + _AT_ONCE]:
                arguments += (move.driver, move.at_us, repr(move.lat), repr(move.lon), move.zone)
            with _available():
                outcomes.update(_OUTCOMES[answer] for answer in self._upsert([DRIVERS, TIMES], arguments))
        return outcomes

    def forget(self, before_us: int) -> int:
        """Let go of some drivers not heard of since; returns how many, zero where none is left. Raises Unavailable."""
        with _available():
            return int(self._forget([DRIVERS, TIMES], [ZONE, before_us, _AT_ONCE]))

    def close(self) -> None:
        """Let the connection go."""
        self._redis.close()


def _available() -> Any:
    return unavailable("driver positions", "positions_unavailable")
