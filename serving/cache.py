"""A bounded cache of rows in one matrix, and an early-refresh rule; it holds values and times, and starts nothing.

Rows lie side by side, so that all of a request's are found, judged and copied in a handful of array operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.schema import Floats

Key = tuple[str, str]  # (entity, key)
_EVICTED_AT_ONCE: Final = 16  # a sixteenth of the capacity: finding the least used costs a pass over all


def refresh_early(now: float, expiry: float, delta: float, u: float, beta: float = 1.0) -> bool:
    """XFetch: refresh before expiry with a chance that grows as it nears (Vattani, Chierichetti, Lowenstein 2015).

    `delta` is what a recomputation takes, `u` a uniform draw from (0, 1]; all times in seconds.
    """
    return now - delta * beta * math.log(u) >= expiry


class RowCache:
    """Least recently used out first; the TTL is spread by ±`jitter` so that keys stored together don't end together.

    `uniform` gives draws from [0, 1). A row past its expiry stays until it is pushed out: a stale value within bounds
    is better than none when the store is gone.
    """

    def __init__(self, capacity: int, width: int, uniform: Callable[[], float], *, jitter: float = 0.1) -> None:
        self.capacity = capacity
        self.hits = self.misses = self.evicted = 0
        self._uniform = uniform
        self._jitter = jitter
        # One row more than there may be: a key that is not here has that one, which is always expired.
        self._rows: Floats = np.full((capacity + 1, width), np.nan)
        self._stored, self._expiry, self._used = np.full((3, capacity + 1), -np.inf)
        self._slots: dict[Key, int] = {}
        self._keys: list[Key | None] = [None] * capacity
        self._free = list(range(capacity - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, keys: Sequence[Key], now: float) -> tuple[Floats, list[float]]:
        """Copies of the rows [k, width] and when each expires [k]; what is not after `now` is a miss."""
        slots = self._find(keys)
        expiry: list[float] = self._expiry[slots].tolist()
        hits = len(keys) if not expiry or min(expiry) > now else sum(end > now for end in expiry)
        self.hits += hits
        self.misses += len(keys) - hits
        self._used[slots] = now
        return self._rows[slots], expiry

    def stale(self, keys: Sequence[Key], now: float, bound_s: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Copies of the rows [k, width], expired or not, and whether each was stored at most `bound_s` ago."""
        slots = self._find(keys)
        stored = self._stored[slots]
        return self._rows[slots], np.isfinite(stored) & (now - stored <= bound_s)

    def put(self, keys: Sequence[Key], rows: Floats, now: float, ttls_s: Sequence[float]) -> None:
        """Store distinct rows [k, width], each with a TTL of its own; beyond the capacity the least used go."""
        known = [self._slots.get(key) for key in keys]
        self._used[[slot for slot in known if slot is not None]] = math.inf  # not to be given away to the others
        slots = [self._place(key) if slot is None else slot for key, slot in zip(keys, known, strict=True)]
        self._rows[slots] = rows
        self._stored[slots] = self._used[slots] = now
        spread, uniform = 2 * self._jitter, self._uniform
        self._expiry[slots] = [now + ttl_s * (1 - self._jitter + spread * uniform()) for ttl_s in ttls_s]

    def keys(self) -> list[Key]:
        """The keys of all rows, expired or not."""
        return list(self._slots)

    def invalidate(self, key: Key, at: float = -math.inf) -> None:
        """Expire a row now, or at a time that is near; it can still serve as a stale one."""
        if (slot := self._slots.get(key)) is not None:
            self._expiry[slot] = min(float(self._expiry[slot]), at)

    def ages(self, now: float) -> Floats:
        """Seconds since each row was stored."""
        stored = self._stored[: self.capacity]
        ages: Floats = now - stored[np.isfinite(stored)]
        return ages

    def _find(self, keys: Sequence[Key]) -> npt.NDArray[np.intp]:
        find, nowhere = self._slots.get, self.capacity
        return np.array([find(key, nowhere) for key in keys], dtype=np.intp)

    def _place(self, key: Key) -> int:
        if not self._free:
            count = max(1, self.capacity // _EVICTED_AT_ONCE)
            for slot in np.argsort(self._used[: self.capacity], kind="stable")[:count].tolist():
                evicted = self._keys[slot]
                if evicted is not None:
                    del self._slots[evicted]
                self._keys[slot] = None
                self._stored[slot] = self._expiry[slot] = self._used[slot] = -math.inf
                self._free.append(slot)
            self.evicted += count
        slot = self._slots[key] = self._free.pop()
        self._keys[slot] = key
        self._used[slot] = math.inf  # until it is stored
        return slot
