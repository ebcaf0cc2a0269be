"""Drivers' last positions in Redis: a later event time wins, in any order of arrival, and old ones are not offered.

A driver is in the hash of all, in the set of all by time, and in that of the zone; one script moves it in all three.
"""

from __future__ import annotations

from typing import Final

import hiredis

from adapters.feast_encoding import PROJECT
from adapters.redis_pipe import RedisPipe, command
from contracts.driver_positions import DriverPosition
from contracts.errors import Unavailable

DRIVERS: Final = f"{PROJECT}:{{drivers}}"  # in braces: one slot of a cluster
TIMES: Final = f"{DRIVERS}:at"
ZONE: Final = f"{DRIVERS}:zone:"
MAX_AGE_S: Final = 120.0
"""Whose last word is older may be anywhere by now."""

MICRO: Final = 1_000_000

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


class RedisDriverPositions:
    """Reads them in one round trip, for who has an event loop; see DriverPositions."""

    def __init__(self, pipe: RedisPipe, *, max_age_s: float = MAX_AGE_S, future_s: float = 60.0) -> None:
        self._pipe = pipe
        self._max_age_s, self._future_s = max_age_s, future_s

    async def positions(self, zone: str | None, now: float) -> list[DriverPosition]:
        """See DriverPositions."""
        where = TIMES if zone is None else f"{ZONE}{zone}"
        first, last = ((now + offset) * MICRO for offset in (-self._max_age_s, self._future_s))
        words = ("EVAL", _READ, "2", DRIVERS, where, f"{first:.0f}", f"{last:.0f}")
        (reply,) = await self._pipe.execute(command(*(word.encode() for word in words)), 1)
        if isinstance(reply, hiredis.ReplyError):
            raise Unavailable("driver positions", "positions_unavailable", str(reply))
        return sorted(_position(driver, held) for driver, held in zip(reply[::2], reply[1::2], strict=True) if held)

    async def close(self) -> None:
        """Let the connection go."""
        self._pipe.close()


def _position(driver: bytes, held: bytes) -> DriverPosition:
    at_us, lat, lon, _ = held.split(b" ", 3)
    return DriverPosition(driver.decode(), float(lat), float(lon), int(at_us) / MICRO)
