"""One ride request that waits for its window and gets its driver: who holds a region's lease matches for all replicas.

What is promised is kept by the store: a ride is decided once, and a driver belongs to one ride. The lease only saves
two replicas from making two half matchings; whoever has riders waiting takes it where it is free, so that a replica
that dies is replaced by any other that waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from contracts.clock import Clock
from contracts.dispatch_messages import RideRequest, RideResponse
from contracts.errors import Declined, InvalidInput, Unavailable
from contracts.rides import Ride, RideStore
from serving.admission import Overloaded, Refusal
from serving.artifacts import LoadedModel
from serving.call import Call
from serving.crowd import places
from serving.dispatch_metrics import DispatchMetrics
from serving.gathering import regions_of
from serving.request_ids import RequestIds
from serving.ride_windows import RegionWindows
from serving.routing import Routing

ID_REUSED: Final = "id_reused"
_MOST_WAITING: Final = 500  # on one replica; each holds a connection of the front's
_AWAY_S: Final = 0.5  # until a database that is away is asked again
_GRACE_S: Final = 2.0  # after a ride's time, for a store that is slow to say so
_LOG: Final = logging.getLogger(__name__)


@dataclass
class _Region:
    """The rides of a region that wait at this replica, and the task that sees to them."""

    windows: RegionWindows
    waiting: dict[str, list[asyncio.Future[Ride]]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class RideService:
    """Answers `POST /v1/rides`. Belongs to one event loop."""

    def __init__(
        self,
        store: RideStore,
        windows: Callable[[int], RegionWindows],
        routing: Routing,
        request_ids: RequestIds,
        metrics: DispatchMetrics,
        *,
        clock: Clock,
        regions: int = 1,
        wait_s: float = 10.0,
        poll_s: float = 0.05,
    ) -> None:
        self._store = store
        self._windows = windows
        self._routing = routing
        self._request_ids = request_ids
        self._metrics = metrics
        self._clock = clock
        self._count = regions
        self._wait_s = wait_s
        self._poll_s = poll_s
        self._regions: dict[int, _Region] = {}
        self._new: list[tuple[Ride, asyncio.Future[Ride]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._asking = 0  # also those that are being written, and repeats of one id

    @property
    def waiting(self) -> int:
        """How many rides wait here."""
        return sum(len(region.waiting) for region in self._regions.values())

    async def ride(self, request: RideRequest, call: Call) -> RideResponse:
        """Wait for the window and answer with the driver.

        Raises InvalidInput, Overloaded, Declined where there is no driver or the id stands for another request, and
        Unavailable where the store is away: the same request may then be sent again.
        """
        if self._asking >= _MOST_WAITING:
            raise Overloaded(Refusal.LIMIT, 1)
        self._asking += 1
        try:
            return await self._ride_of(request, call)
        finally:
            self._asking -= 1

    async def _ride_of(self, request: RideRequest, call: Call) -> RideResponse:
        now = self._clock.now()
        ride = self._ride(request, self._routing.champion(), now, min(call.left_s(), self._wait_s))
        stored = await call.waiting(self._ask(ride))
        if stored.content != ride.content:
            raise Declined(ID_REUSED, f"{ride.id!r} stands for another request; a new request needs a new id")
        if stored.decided_at is None:
            stored = await call.waiting(self._decided(stored))
        return self._answer(stored, now)

    def _ride(self, request: RideRequest, model: LoadedModel, now: float, left_s: float) -> Ride:
        zones, locator = model.zones, model.locator
        if "\0" in request.id:  # PostgreSQL has no place for it
            raise InvalidInput("id", "has a NUL character")
        place = places([("pickup", request.pickup)], zones, locator)
        if request.dropoff is not msgspec.UNSET:
            places([("dropoff", request.dropoff)], zones, locator)
        content = hashlib.sha256(msgspec.json.encode(request)).hexdigest()
        zone = int(place.zone[0])
        return Ride(
            id=request.id,
            request_id=self._request_ids.issue(now),
            region=int(regions_of(zones, self._count)[zone]),
            content=content,
            lat=float(place.lat[0]),
            lon=float(place.lon[0]),
            zone=zones.ids[zone],
            asked_at=now,
            until=now + left_s,
        )

    def _answer(self, ride: Ride, asked_at: float) -> RideResponse:
        waited_s = self._clock.now() - asked_at
        self._metrics.ride(ride.reason or "assigned", waited_s)
        if ride.driver is None or ride.pickup_eta_s is None or ride.decided_at is None:
            raise Declined(ride.reason or "not_matched", f"no driver for {ride.id!r} within {waited_s:.1f} s")
        waited_s = round(ride.decided_at - ride.asked_at, 3)
        return RideResponse(ride.request_id, ride.id, ride.driver, ride.pickup_eta_s, waited_s)

    async def _ask(self, ride: Ride) -> Ride:
        """Keep it for good, together with those that come while a write is under way; the row as it stands then."""
        future = asyncio.get_running_loop().create_future()
        self._new.append((ride, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        stored: Ride = await future
        return stored

    async def _write(self) -> None:
        try:
            while self._new:
                batch, self._new = self._new, []
                rides = [ride for ride, _ in batch]
                try:
                    stored = await asyncio.to_thread(self._kept, rides)
                except Exception as error:  # noqa: BLE001 - told to everyone who asked
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for ride, future in batch:
                    if future.done():
                        continue
                    if ride.id in stored:
                        future.set_result(stored[ride.id])
                    else:  # an old ride of this id was let go between the two
                        future.set_exception(Unavailable("ride store", "not_kept", f"ask again for {ride.id!r}"))
        finally:
            self._writing = None

    def _kept(self, rides: list[Ride]) -> dict[str, Ride]:
        self._store.ask(rides)
        return {ride.id: ride for ride in self._store.find([ride.id for ride in rides])}

    async def _decided(self, ride: Ride) -> Ride:
        region = self._regions.get(ride.region)
        if region is None:
            region = self._regions[ride.region] = _Region(self._windows(ride.region))
        future: asyncio.Future[Ride] = asyncio.get_running_loop().create_future()
        waiters = region.waiting.setdefault(ride.id, [])
        waiters.append(future)
        region.arrived.set()
        if region.task is None:
            region.task = asyncio.create_task(self._see_to(ride.region, region))
        try:
            async with asyncio.timeout(max(ride.until - self._clock.now(), 0.0) + _GRACE_S):
                return await future
        except TimeoutError:
            raise Unavailable("dispatch", "not_decided", "no word within the time; send the same id again") from None
        finally:
            waiters.remove(future)
            if not waiters and region.waiting.get(ride.id) is waiters:
                del region.waiting[ride.id]

    async def _see_to(self, number: int, region: _Region) -> None:
        """Run the region's windows, or wait for who does, as long as somebody waits here."""
        windows = region.windows
        try:
            while region.waiting:
                region.arrived.clear()
                pause_s = self._poll_s
                try:
                    pause_s = min(pause_s, await windows.turn())
                    await self._tell(region)
                except Unavailable as error:
                    _LOG.warning("region %d: %s", number, error)
                    pause_s = _AWAY_S
                except Exception:  # noqa: BLE001 - a window's failure must not keep its riders from the next
                    _LOG.exception("region %d: a window failed; its riders wait for the next", number)
                if region.waiting and pause_s > 0:
                    await _either(region.arrived, pause_s)
            await windows.leave()
        except Unavailable as error:  # the lease runs out by itself
            _LOG.warning("region %d: %s", number, error)
        finally:
            region.task = None
            if region.waiting:  # who came while the lease was given back
                region.task = asyncio.create_task(self._see_to(number, region))

    async def _tell(self, region: _Region) -> None:
        ids = list(region.waiting)
        for ride in await asyncio.to_thread(self._store.find, ids):
            if ride.decided_at is not None:
                for future in region.waiting.get(ride.id, []):
                    if not future.done():
                        future.set_result(ride)
        await asyncio.sleep(0)  # who has an answer goes


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
