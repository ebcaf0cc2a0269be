"""`tandem replay --trips`: recorded traffic against the running stack, open loop, with its outcomes and trip ends.

Each trip asks for its ETA when the recording says; when it ends, its outcome is posted and `trips.ended` goes through
the home's outbox, so that live features move as they would and labels come as late as they would.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from tqdm import tqdm

from adapters.outbox import Outbox
from contracts.clock import Clock, SystemClock
from contracts.errors import Unavailable
from contracts.events import TRIPS_ENDED, encode_event
from contracts.messages import MAX_TRIPS, EtaResponse, OutcomesResponse
from pipelines.ask import answers
from pipelines.layout import Layout
from pipelines.open_loop import Answer, Request, send_all
from pipelines.recorded_traffic import RecordedTraffic, recorded_traffic
from pipelines.stack import Stack
from pipelines.trips import read_any_trips
from pipelines.zone_points import served_zones

PEAK: Final = 300.0
"""Requests per second in the busiest quarter of an hour, at a rate of 1."""

_ENDS_S: Final = 0.5  # from one look for trips that ended to the next
_ETA: Final = "/v1/eta"
_OUTCOMES: Final = "/v1/outcomes"
_CONNECTIONS: Final = 128
_OUTCOME_CONNECTIONS: Final = 4
_OK: Final = 200
_QUANTILES: Final = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99, "max_ms": 100}


def replay_trips(
    home: Path,
    trips: Path,
    *,
    rate: float = 1.0,
    peak: float = PEAK,
    seconds: float | None = None,
    wait: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Replay a trips file against the stack of a home.

    Args:
        home: TANDEM_HOME of a stack that is up.
        trips: a canonical file, or one of the TLC's.
        rate: times the peak.
        peak: requests per second in the recording's busiest quarter of an hour, at a rate of 1.
        seconds: stop asking after so long; all of the recording where None.
        wait: stay until the last trip has ended, which may be two hours after it was asked for.
        progress: show a bar on stderr.

    Returns:
        What was sent and what came of it; `ok` where every request was answered with a success.

    Raises:
        Unavailable: no stack is up, or its events have nowhere to go.
        NotFound, SchemaMismatch, DataRefused: the file.

    """
    settings = Stack(home).settings(os.environ)
    if not answers(f"{settings.url}/readyz"):
        raise Unavailable(f"the stack at {settings.url}", "not_ready", "`tandem up` starts it")
    frame, dropped = read_any_trips(trips, served_zones(home))
    traffic = recorded_traffic(frame.sort_values("pickup_at", kind="stable"), peak=rate * peak, seconds=seconds)
    outbox = Outbox(Layout(home).outbox)
    try:
        host = settings.url.removeprefix("http://").rpartition(":")[0].strip("[]")
        replay = Replay(traffic, outbox, (host, settings.port), SystemClock(), progress=progress)
        asyncio.run(replay.run(wait=wait))
        return {**replay.summary(), "dropped": dropped}
    finally:
        outbox.close()


class Replay:
    """One run; all of it on one event loop, but for the outbox's disk."""

    def __init__(
        self, traffic: RecordedTraffic, outbox: Outbox, address: tuple[str, int], clock: Clock, *, progress: bool
    ) -> None:
        self._traffic, self._outbox, self._address, self._clock = traffic, outbox, address, clock
        self._bar = tqdm(total=len(traffic.trip_id), desc="replay", unit="trip", disable=not progress)
        self._began, self._began_at = 0.0, 0.0  # monotonic, epoch
        self._request_ids: dict[int, str] = {}  # of trips that are under way
        self._took_ms: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._done = 0  # of `by_end`

    async def run(self, *, wait: bool) -> None:
        """Ask, and tell of ends meanwhile; with `wait` until the last trip has ended."""
        self._began, self._began_at = self._clock.monotonic(), self._clock.now()
        enough = asyncio.Event()
        ends = asyncio.create_task(self._follow_ends(enough))
        asking = asyncio.create_task(self._send(self._requests(), self._answered))
        try:
            first, _ = await asyncio.wait([asking, ends], return_when=asyncio.FIRST_COMPLETED)
            for task in first:
                task.result()  # an outbox that is full ends it
            await asking
            if not wait:
                enough.set()
            await ends
        finally:
            asking.cancel()
            ends.cancel()
            await asyncio.gather(asking, ends, return_exceptions=True)
            self._bar.close()

    async def tell_ends(self) -> None:
        """Trips that ended since the last time: to the outbox, and their outcomes to the service."""
        order, now_s = self._traffic.by_end, self._clock.monotonic() - self._began
        end = int(np.searchsorted(self._traffic.ended_s[order], now_s, side="right"))
        ended = order[self._done : end].tolist()
        if not ended:
            return
        events = [(self._traffic.pickup[i], encode_event(self._traffic.event(i, self._began_at))) for i in ended]
        await asyncio.to_thread(self._outbox.put, TRIPS_ENDED, events)
        self._done = end
        outcomes = [self._outcome(i, self._request_ids.pop(i)) for i in ended if i in self._request_ids]
        due = self._clock.monotonic()
        parts = [outcomes[start : start + MAX_TRIPS] for start in range(0, len(outcomes), MAX_TRIPS)]
        requests = [Request(due, _OUTCOMES, msgspec.json.encode({"outcomes": part}), len(part)) for part in parts]
        await self._send(requests, self._outcomes_taken, connections=_OUTCOME_CONNECTIONS)

    def summary(self) -> dict[str, Any]:
        """Counts and quantiles (ms, from when each request was due)."""
        took = np.array(self._took_ms or [np.nan])
        sent = sum(self._statuses.values())
        return {
            "ok": self._statuses[str(_OK)] == sent == len(self._traffic.trip_id),
            "requests": len(self._traffic.trip_id),
            "speed": round(self._traffic.speed, 2),
            "seconds": round(self._clock.monotonic() - self._began, 1),
            "statuses": dict(self._statuses),
            "sources": dict(self._sources),
            "latency": {name: round(float(np.percentile(took, q)), 2) for name, q in _QUANTILES.items()},
            "outcomes": dict(self._outcomes),
            "trips_ended": self._done,
            "under_way": len(self._traffic.trip_id) - self._done,
        }

    def _requests(self) -> Iterator[Request]:
        traffic = self._traffic
        for i, (pickup, dropoff) in enumerate(zip(traffic.pickup, traffic.dropoff, strict=True)):
            trip = {"id": traffic.trip_id[i], "pickup": {"zone": pickup}, "dropoff": {"zone": dropoff}}
            body = msgspec.json.encode({"trips": [trip]})
            yield Request(self._began + float(traffic.asked_s[i]), _ETA, body, i)

    def _answered(self, answer: Answer) -> None:
        self._bar.update()
        self._statuses[str(answer.status) if answer.status else answer.body.decode()] += 1
        if answer.status != _OK:
            return
        self._took_ms.append(1e3 * answer.took_s)
        found = msgspec.json.decode(answer.body, type=EtaResponse)
        self._sources[found.etas[0].source] += 1
        self._request_ids[answer.request.tag] = found.request_id

    async def _follow_ends(self, enough: asyncio.Event) -> None:
        while self._done < len(self._traffic.by_end) and not enough.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), _ENDS_S)
            await self.tell_ends()

    async def _send(
        self, requests: Iterable[Request], took: Callable[[Answer], None], connections: int = _CONNECTIONS
    ) -> None:
        await send_all(self._address, requests, took, connections=connections, clock=self._clock.monotonic)

    def _outcome(self, position: int, request_id: str) -> dict[str, Any]:
        ended = self._began_at + float(self._traffic.ended_s[position])
        return {
            "request_id": request_id,
            "id": self._traffic.trip_id[position],
            "event": "completed",
            "actual_s": float(self._traffic.duration_s[position]),
            "at": datetime.fromtimestamp(ended, UTC).isoformat(),
        }

    def _outcomes_taken(self, answer: Answer) -> None:
        if answer.status != _OK:
            self._outcomes["failed"] += answer.request.tag
            return
        found = msgspec.json.decode(answer.body, type=OutcomesResponse)
        self._outcomes.update(accepted=found.accepted, duplicate=found.duplicate, unknown=found.unknown)
