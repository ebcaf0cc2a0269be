"""A bounded cache with an early-refresh rule; it holds values and times, and starts nothing by itself."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def refresh_early(now: float, expiry: float, delta: float, u: float, beta: float = 1.0) -> bool:
    """XFetch: refresh before expiry with a chance that grows as it nears (Vattani, Chierichetti, Lowenstein 2015).

    `delta` is what a recomputation takes, `u` a uniform draw from (0, 1]; all times in seconds.
    """
    return now - delta * beta * math.log(u) >= expiry


@dataclass(slots=True)
class Entry(Generic[V]):
    """A value, when it was stored, and until when it may be used."""

    value: V
    stored: float
    expiry: float


@dataclass
class Cache(Generic[K, V]):
    """Least recently used out first; the TTL is spread by ±`jitter` so that keys stored together don't end together.

    `uniform` gives draws from [0, 1). An entry past its expiry stays until it is pushed out: a stale value within
    bounds is better than none when the store is gone.
    """

    capacity: int
    ttl_s: float
    uniform: Callable[[], float]
    jitter: float = 0.1
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    _entries: OrderedDict[K, Entry[V]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K, now: float) -> Entry[V] | None:
        """Return the entry that may still be used at `now`."""
        entry = self._entries.get(key)
        if entry is None or entry.expiry <= now:
            self.misses += 1
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return entry

    def stale(self, key: K, now: float, bound_s: float) -> Entry[V] | None:
        """Return the entry, expired or not, that was stored at most `bound_s` seconds ago."""
        entry = self._entries.get(key)
        return entry if entry is not None and now - entry.stored <= bound_s else None

    def put(self, key: K, value: V, now: float, ttl_s: float | None = None) -> None:
        """Store a value, for a TTL of its own where one is given; beyond the capacity the least used goes."""
        ttl = (self.ttl_s if ttl_s is None else ttl_s) * (1 + self.jitter * (2 * self.uniform() - 1))
        self._entries[key] = Entry(value, now, now + ttl)
        self._entries.move_to_end(key)
        while len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
            self.evicted += 1

    def keys(self) -> list[K]:
        """The keys of all entries, expired or not."""
        return list(self._entries)

    def invalidate(self, key: K, at: float = -math.inf) -> None:
        """Expire an entry now, or at a time that is near; it can still serve as a stale one."""
        if (entry := self._entries.get(key)) is not None:
            entry.expiry = min(entry.expiry, at)
