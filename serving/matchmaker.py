"""Matching with the online model's times: one piece of work at a time, on a thread of its own, within its deadline.

The thread does what computes; features are looked up on the event loop, to which the store's connection and the cache
belong, in parts short enough that nobody waits for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np

from contracts.clock import Clock
from contracts.dispatch import Assignment, Drivers, Riders
from contracts.dispatch_messages import PolicyName
from contracts.errors import Unavailable
from contracts.schema import Floats
from serving.artifacts import LoadedModel
from serving.dispatch import Batch, Greedy
from serving.features import FeatureReader, LookedUp
from serving.point_etas import PointEtas
from serving.routing import Routing
from serving.solver import SolverProcess
from serving.trips import TripFeatures
from serving.zone_etas import ZoneEtas

_PAIRS_AT_ONCE: Final = 64  # on the loop: about a millisecond
_READS_AT_ONCE: Final = 2
T = TypeVar("T")
Keys = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Matched:
    """Who drives to whom, by which policy and with whose times; `reason` says why it is less than it could be."""

    assignment: Assignment
    policy: PolicyName
    model: str
    source: Literal["model", "fallback"]
    reason: str


class Matchmaker:
    """Matches riders and drivers. `run` gives a job its turn; `match` is for such a job."""

    def __init__(
        self,
        routing: Routing,
        trips: TripFeatures,
        features: FeatureReader,
        *,
        clock: Clock,
        solver: SolverProcess,
        thread: Executor,
    ) -> None:
        self._routing = routing
        self._trips = trips
        self._features = features
        self._clock = clock
        self._solver = solver
        self._thread = thread  # of one thread

    async def run(self, job: Callable[[asyncio.AbstractEventLoop], T]) -> tuple[T, float]:
        """Run a job when its turn comes; its result, and the seconds it took."""
        loop = asyncio.get_running_loop()

        def timed() -> tuple[T, float]:
            begun = time.perf_counter()
            return job(loop), time.perf_counter() - begun

        return await loop.run_in_executor(self._thread, timed)

    def match(
        self,
        model: LoadedModel,
        riders: Riders,
        drivers: Drivers,
        *,
        policy: PolicyName,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Matched:
        """Match within the deadline (`time.perf_counter` seconds); the nearest where a batch would take too long."""
        now = self._clock.now()

        def look(keys: Keys, at: Floats) -> LookedUp:
            left_s = deadline - time.perf_counter()
            if left_s <= 0:
                raise Unavailable("online store", "features_timeout", "no time is left")
            looking = asyncio.run_coroutine_threadsafe(self._look_up(keys, at, now, left_s), loop)
            try:
                return looking.result(left_s)
            except TimeoutError:
                looking.cancel()
                raise Unavailable("online store", "features_timeout", f"no answer within {left_s:.3f} s") from None

        zone_etas = ZoneEtas(model, self._trips, look, allow=self._routing.allow_model)
        etas, late = PointEtas(zone_etas, model.spread), ""
        if policy == "batch":
            try:
                made = Batch(etas, solver=self._solver.until(deadline))(riders, drivers, now)
                return Matched(made, "batch", model.name, zone_etas.source, zone_etas.reason)
            except Unavailable as error:
                late = error.reason
        made = Greedy(etas)(riders, drivers, now)
        return Matched(made, "greedy", model.name, zone_etas.source, late or zone_etas.reason)

    async def _look_up(self, keys: Keys, at: Floats, now: float, within_s: float) -> LookedUp:
        parts = []
        for start in range(0, len(at), _PAIRS_AT_ONCE):
            some = slice(start, start + _PAIRS_AT_ONCE)
            parts.append((self._features.begin({role: of[some] for role, of in keys.items()}), at[some]))
            await asyncio.sleep(0)
        # A few at a time: estimates read over the same connection, and would wait for all of them.
        for start in range(0, len(parts), _READS_AT_ONCE):
            some_parts = parts[start : start + _READS_AT_ONCE]
            await asyncio.gather(*(self._features.complete(looking, within_s) for looking, _ in some_parts))
        found = []
        for looking, starts in parts:
            found.append(self._features.columns(looking, starts, now))
            await asyncio.sleep(0)
        return LookedUp(
            np.concatenate([part.values for part in found], axis=1),
            np.concatenate([part.ages_s for part in found], axis=1),
            any(part.stale for part in found),
        )
