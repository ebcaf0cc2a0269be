"""A region's windows, run by whoever holds its lease: look, wait for the window to close, match, decide."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.clock import Clock
from contracts.dispatch import Drivers, Places, Riders
from contracts.driver_positions import DriverPosition, DriverPositions
from contracts.errors import Unavailable
from contracts.rides import DriverAssigned, Lease, NoDriver, Ride, RideStore
from serving.artifacts import LoadedModel
from serving.dispatch_metrics import DispatchMetrics
from serving.gathering import Gathering
from serving.matchmaker import Matched, Matchmaker
from serving.routing import Routing
from serving.windows import AdaptiveWindow

NO_DRIVER: Final = "no_driver"  # nobody was on offer
DRIVERS_UNAVAILABLE: Final = "drivers_unavailable"  # nobody told where they are
NOT_MATCHED: Final = "not_matched"  # somebody was, for others, or too far away
_MOST_A_WINDOW: Final = 2000
_BEFORE_THE_END_S: Final = 0.25  # a ride's last window closes so long before its time is over
_MATCHING_S: Final = 2.0
_ASKED_S: Final = 0.1  # until a lease that somebody else has is asked for again: asking takes the database's one writer
_FEED_S: Final = 0.25
_LOOKED_S: Final = 0.5  # so old may be what was read of the drivers
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class RidePolicy:
    """Times of dispatch, in seconds."""

    window_s: float = 2.0
    hold_s: float = 3600.0  # a driver whose ride nobody ends is free again after this
    driver_age_s: float = 60.0  # who was last seen longer ago is not on offer
    lease_s: float = 3.0


@dataclass(frozen=True)
class Outside:
    """What all regions share."""

    store: RideStore
    lease: Lease
    feed: DriverPositions
    matchmaker: Matchmaker
    routing: Routing
    metrics: DispatchMetrics
    clock: Clock
    holder: str  # this replica's name


class RegionWindows:
    """One region as one replica sees it, for as long as it has riders waiting."""

    def __init__(self, region: int, outside: Outside, policy: RidePolicy) -> None:
        self._region = region
        self._outside = outside
        self._policy = policy
        self._gathering = Gathering(AdaptiveWindow(policy.window_s))
        self._held_until = self._refused_at = self._closed_at = self._looked_at = -math.inf
        self._seen: list[DriverPosition] = []
        self._blind = False  # told once that nobody says where drivers are

    async def turn(self) -> float:
        """Do what is due where this replica holds the lease; seconds until the next thing is. Raises Unavailable."""
        now = self._outside.clock.now()
        if not await self._leads(now):
            return math.inf
        waiting, busy = await asyncio.to_thread(self._look, now)
        known, nobody = await self._positions(now)
        offers = [seen for seen in known if seen[0] not in busy]
        over, waiting = [r for r in waiting if r.until <= now], [r for r in waiting if r.until > now]
        if over:
            reason = NOT_MATCHED if offers else nobody
            refused = [NoDriver(ride.id, reason) for ride in over]
            await asyncio.to_thread(self._outside.store.decide, [], refused, now, self._policy.hold_s)
        closes_at = self._gathering.look(now, [ride.id for ride in waiting], len(offers))
        if not waiting:
            return math.inf
        ends_at = min(ride.until for ride in waiting)
        last_call = ends_at - _BEFORE_THE_END_S
        if offers and self._closed_at < last_call:  # once; whoever it leaves waits in vain
            closes_at = min(closes_at, last_call)
        if now < closes_at:
            return max(min(closes_at, ends_at) - now, 0.0)
        await self._close(waiting, offers, now)
        return 0.0

    async def leave(self) -> None:
        """Let somebody else lead. Raises Unavailable."""
        if self._held_until > -math.inf:
            self._held_until = -math.inf
            await asyncio.to_thread(self._outside.lease.release, self._name, self._outside.holder)

    @property
    def _name(self) -> str:
        return f"rides/{self._region}"

    async def _leads(self, now: float) -> bool:
        if self._held_until - now > self._policy.lease_s / 2:
            return True
        if now - self._refused_at < _ASKED_S:
            return False
        seconds = self._policy.lease_s
        leads = await asyncio.to_thread(self._outside.lease.lease, self._name, self._outside.holder, now, seconds)
        self._held_until = now + seconds if leads else -math.inf
        self._refused_at = -math.inf if leads else now
        return leads

    def _look(self, now: float) -> tuple[list[Ride], set[str]]:
        return self._outside.store.waiting(self._region, _MOST_A_WINDOW), self._outside.store.busy(now)

    async def _positions(self, now: float) -> tuple[list[DriverPosition], str]:
        """Drivers seen lately, and what it means where there are none."""
        if now - self._looked_at < _LOOKED_S:
            return self._seen, NO_DRIVER
        oldest = now - self._policy.driver_age_s
        try:
            async with asyncio.timeout(_FEED_S):
                seen = await self._outside.feed.positions(None, now)
        except (Unavailable, TimeoutError) as error:
            if not self._blind:
                _LOG.warning("region %d: %s", self._region, str(error) or f"no positions within {_FEED_S} s")
            self._blind = True
            return [], DRIVERS_UNAVAILABLE
        self._seen = [one for one in seen if one[3] >= oldest]
        self._looked_at, self._blind = now, False
        return self._seen, NO_DRIVER

    async def _close(self, waiting: Sequence[Ride], offers: Sequence[DriverPosition], now: float) -> None:
        model, deadline = self._outside.routing.champion(), time.perf_counter() + _MATCHING_S

        def job(loop: asyncio.AbstractEventLoop) -> tuple[Matched, list[DriverAssigned]]:
            riders, drivers, who = _arrays(model, waiting, offers, now)
            matched = self._outside.matchmaker.match(
                model, riders, drivers, policy="batch", deadline=deadline, loop=loop
            )
            made = matched.assignment
            pairs = zip(made.rider.tolist(), made.driver.tolist(), made.pickup_s.round(2).tolist(), strict=True)
            return matched, [DriverAssigned(waiting[r].id, offers[who[d]][0], s) for r, d, s in pairs]

        (matched, pairs), _ = await self._outside.matchmaker.run(job)
        now, store = self._outside.clock.now(), self._outside.store
        await asyncio.to_thread(store.decide, pairs, [], now, self._policy.hold_s)
        self._closed_at = now
        self._gathering.closed()
        self._outside.metrics.window()
        self._outside.metrics.matched(matched, len(waiting))


def _arrays(
    model: LoadedModel, waiting: Sequence[Ride], offers: Sequence[DriverPosition], now: float
) -> tuple[Riders, Drivers, list[int]]:
    """Riders, drivers and which of the offers these are: who is outside the city is not among them."""
    zone = np.array([model.zones.index.get(ride.zone, 0) for ride in waiting], dtype=np.intp)
    at = Places(np.array([ride.lat for ride in waiting]), np.array([ride.lon for ride in waiting]), zone)
    riders = Riders(at, np.array([max(now - ride.asked_at, 0.0) for ride in waiting]))
    lat, lon = np.array([seen[1] for seen in offers]), np.array([seen[2] for seen in offers])
    found = model.locator.locate_many(lat, lon)
    inside = np.flatnonzero(found >= 0)
    spots = Places(lat[inside], lon[inside], found[inside])
    return riders, Drivers(spots, np.zeros(len(inside)), np.zeros(len(inside))), inside.tolist()
