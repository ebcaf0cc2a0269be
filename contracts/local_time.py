"""Local time of a city from epoch seconds, in bulk: zoneinfo's transitions as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from contracts.schema import Floats

Ints = npt.NDArray[np.int64]

HOUR_S = 3600
DAY_S = 86_400
HOURS_A_WEEK = 168
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0

_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = datetime(2100, 1, 1, tzinfo=UTC)
_STEP_S = 7 * DAY_S  # no city has changed its clocks and changed them back within a week


@dataclass(frozen=True)
class LocalTime:
    """UTC offsets [k + 1] in seconds before, between and after the transitions [k] (epoch seconds), 2000 to 2100."""

    transitions: Floats
    offsets: Floats

    def seconds(self, at: Floats) -> Floats:
        """Seconds on the local clock since its own 1970, for epoch seconds of any shape."""
        local: Floats = at + self.offsets[self.transitions.searchsorted(at, "right")]
        return local

    def day(self, at: Floats) -> Ints:
        """Local days since 1970-01-01."""
        return np.floor_divide(self.seconds(at), DAY_S).astype(np.int64)

    def midnight(self, day: Ints) -> Floats:
        """Epoch seconds at which a local day begins."""
        local = day * float(DAY_S)
        guess = local - self.offsets[self.transitions.searchsorted(local, "right")]
        begins: Floats = local - self.offsets[self.transitions.searchsorted(guess, "right")]
        return begins


def hour_of_week(local_s: Floats) -> Ints:
    """0..167 from Monday 00:00, for seconds on the local clock."""
    hours = np.floor_divide(local_s, HOUR_S).astype(np.int64)
    return (hours + 24 * _EPOCH_WEEKDAY) % HOURS_A_WEEK


@lru_cache(maxsize=8)
def local_time(zone: str) -> LocalTime:
    """Read a zone's transitions, such as ``America/New_York``; raises zoneinfo.ZoneInfoNotFoundError."""
    place = ZoneInfo(zone)

    def offset(at: int) -> float:
        shift = datetime.fromtimestamp(at, place).utcoffset()
        return shift.total_seconds() if shift else 0.0

    transitions: list[float] = []
    offsets = [offset(int(_FIRST.timestamp()))]
    for start in range(int(_FIRST.timestamp()), int(_LAST.timestamp()), _STEP_S):
        before, after = start, start + _STEP_S
        if offset(after) == offsets[-1]:
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if offset(middle) == offsets[-1] else (before, middle)
        transitions.append(float(after))
        offsets.append(offset(after))
    return LocalTime(np.array(transitions), np.array(offsets))
