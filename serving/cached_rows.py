"""The online store behind a cache: one flight a key, early refresh in the background, and stale before nothing.

A row that the store does not have is cached like any other, but for less time.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from adapters.online_store import OnlineStore
from contracts.clock import Clock
from contracts.errors import Unavailable
from contracts.schema import Floats
from serving.breaker import Breaker
from serving.cache import Key, RowCache, refresh_early

_GRACE_S: Final = 0.005
_NEAR: Final = 20.0  # recomputations before expiry; an earlier refresh has a chance of e^-20


@dataclass(frozen=True)
class CachePolicy:
    """Sizes and times (seconds) of the cache."""

    capacity: int = 50_000
    ttl_s: float = 5.0
    absent_ttl_s: float = 1.0
    stale_s: float = 300.0  # how old a row may be that stands in for a store that is gone
    deadline_s: float = 0.05
    entity_ttl_s: Mapping[str, float] = field(default_factory=dict)  # where it is not `ttl_s`


@dataclass(slots=True)
class Found:
    """Rows [k, width] in the order of the keys, and the positions of those that the cache does not have."""

    rows: Floats
    missing: list[int]
    stale: bool = False  # rows past their time stood in for what the store did not give


class CachedRows:
    """Reads through the cache. `background` says whether a refresh may start now: it is shed before requests are."""

    def __init__(
        self,
        store: OnlineStore,
        width: int,
        policy: CachePolicy,
        clock: Clock,
        *,
        breaker: Breaker | None = None,
        background: Callable[[], bool] = lambda: True,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock
        self._background = background
        self._uniform = uniform
        self._flights: dict[Key, asyncio.Task[None]] = {}
        self._overtaken: set[Key] = set()  # in flight, and written anew since the flight began
        self._read_s = 0.001  # what a read takes, smoothed: XFetch's delta
        self.breaker = breaker or Breaker()
        self.cache = RowCache(policy.capacity, width, uniform)
        self.reads = 0
        self.stale_rows = 0

    def lookup(self, keys: Sequence[Key]) -> Found:
        """Rows from the cache alone; those that expire soon may be refreshed in the background."""
        now = self._clock.monotonic()
        rows, expiry = self.cache.get(keys, now)
        if not expiry or min(expiry) - now >= _NEAR * self._read_s:
            return Found(rows, [])
        if max(expiry) <= now:
            return Found(rows, list(range(len(keys))))
        missing: list[int] = []
        soon: dict[Key, None] = {}
        for i, end in enumerate(expiry):
            if end <= now:
                missing.append(i)
            elif keys[i] not in self._flights and refresh_early(now, end, self._read_s, 1.0 - self._uniform()):
                soon[keys[i]] = None
        if soon and self._background():
            self._launch(list(soon), now)
        return Found(rows, missing)

    async def fetch(self, keys: Sequence[Key], found: Found, within_s: float = math.inf) -> Floats:
        """Fill in what is missing, in one read of the store; raises Unavailable where it fails and no row stands in.

        A caller with less time than the policy's deadline says so in `within_s`.
        """
        missing = [keys[i] for i in found.missing]
        failure = await self._await(missing, self._clock.monotonic(), within_s)
        bound_s = self._policy.stale_s if failure else math.inf  # what was just read is not stale
        rows, usable = self.cache.stale(missing, self._clock.monotonic(), bound_s)
        if not usable.all():
            lost = missing[int(np.argmin(usable))]
            raise failure or Unavailable("online store", "features_unavailable", f"no row of {lost}")
        if failure:
            self.stale_rows += len(missing)
            found.stale = True
        found.rows[found.missing] = rows
        return found.rows

    async def read(self, keys: Sequence[Key], within_s: float = math.inf) -> Floats:
        """Rows [k, width] in the order of the keys, from the cache or the store; see `fetch`."""
        found = self.lookup(keys)
        return await self.fetch(keys, found, within_s) if found.missing else found.rows

    def invalidate(self, keys: Iterable[Key], within_s: float = 0.0) -> None:
        """Expire rows that were written anew, each at its own moment of the next `within_s` seconds.

        The next reader fetches them, one flight each; near its moment a row may be refreshed without anyone waiting.
        """
        now = self._clock.monotonic()
        for key in keys:
            self.cache.invalidate(key, now + within_s * self._uniform())
            if key in self._flights:  # it may bring what was there before the write
                self._overtaken.add(key)

    def keys(self) -> list[Key]:
        """All that is cached or on its way."""
        return [*self.cache.keys(), *self._flights]

    async def close(self) -> None:
        """End what is under way and let the connection go."""
        for flight in set(self._flights.values()):
            flight.cancel()
        await self._store.close()

    async def _await(self, missing: Sequence[Key], now: float, within_s: float) -> Unavailable | None:
        """Wait for the flights of the missing keys; returns why they are still missing."""
        new = [key for key in dict.fromkeys(missing) if key not in self._flights]
        if new and not self.breaker.allow(now):
            return Unavailable("online store", "features_unavailable", "the breaker is open")
        flights = {self._launch(new, now)} if new else set()
        if len(new) < len(missing):
            flights.update(self._flights[key] for key in missing)
        # Not cancelled with this request: others wait for the same flight, and the cache wants its rows. A flight
        # began no later than this wait and ends at its own deadline; the grace lets it tell the reason itself.
        _, late = await asyncio.wait(flights, timeout=min(within_s, self._policy.deadline_s + _GRACE_S))
        if late:
            return self._too_late(min(within_s, self._policy.deadline_s))
        errors = [error for flight in flights if (error := flight.exception()) is not None]
        if not errors:
            return None
        if isinstance(errors[0], Unavailable):
            return errors[0]
        return Unavailable("online store", "features_unavailable", f"its answer can't be read: {errors[0]}")

    @staticmethod
    def _too_late(limit_s: float) -> Unavailable:
        return Unavailable("online store", "features_timeout", f"no answer within {limit_s * 1000:.0f} ms")

    def _launch(self, new: list[Key], now: float) -> asyncio.Task[None]:
        """Begin to read distinct keys of which none is on its way."""
        flight = asyncio.create_task(self._fly(new, now))
        self._flights.update(dict.fromkeys(new, flight))
        flight.add_done_callback(lambda done: self._landed(new, done))
        return flight

    async def _fly(self, keys: list[Key], started: float) -> None:
        self.reads += 1
        try:
            async with asyncio.timeout(self._policy.deadline_s):
                rows = await self._store.read(keys)
        except Exception as error:
            self.breaker.record(ok=False, now=self._clock.monotonic())
            if isinstance(error, TimeoutError):
                raise self._too_late(self._policy.deadline_s) from None
            raise
        now = self._clock.monotonic()
        self.breaker.record(ok=True, now=now)
        self._read_s += 0.1 * (now - started - self._read_s)
        self.cache.put(keys, rows, now, self._ttls_s(keys, rows))
        for key in self._overtaken.intersection(keys) if self._overtaken else ():
            self.cache.invalidate(key, now)

    def _ttls_s(self, keys: Sequence[Key], rows: Floats) -> list[float]:
        ttl_s, of_entity = self._policy.ttl_s, self._policy.entity_ttl_s
        ttls_s = [of_entity.get(entity, ttl_s) for entity, _ in keys] if of_entity else [ttl_s] * len(keys)
        for i in np.flatnonzero(np.isnan(rows).all(axis=1)).tolist():
            ttls_s[i] = min(ttls_s[i], self._policy.absent_ttl_s)
        return ttls_s

    def _landed(self, keys: list[Key], flight: asyncio.Task[None]) -> None:
        for key in keys:
            self._flights.pop(key, None)
        if self._overtaken:
            self._overtaken.difference_update(keys)
        if not flight.cancelled():
            flight.exception()  # a background refresh that failed has no other listener
