"""What of a replica does dispatch, put together from settings."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from adapters.ledger import Ledger
from adapters.rides import Rides
from contracts.clock import Clock
from contracts.driver_positions import DriverPosition, DriverPositions
from contracts.errors import Unavailable
from contracts.messages import Outcome
from serving.admission import Admission
from serving.dispatch_metrics import DispatchMetrics
from serving.dispatcher import Dispatcher, dispatch_admission
from serving.features import FeatureReader
from serving.matchmaker import Matchmaker
from serving.outcomes import Add
from serving.request_ids import RequestIds
from serving.ride_windows import Outside, RegionWindows, RidePolicy
from serving.rides import RideService
from serving.routing import Routing
from serving.settings import Settings
from serving.solver import SolverProcess
from serving.telemetry import Telemetry
from serving.trips import TripFeatures

_ENDS = ("cancelled", "completed")


@dataclass(frozen=True)
class Inside:
    """Parts of the replica that dispatch shares with the ETA use case."""

    routing: Routing
    trips: TripFeatures
    features: FeatureReader
    request_ids: RequestIds
    telemetry: Telemetry
    clock: Clock


@dataclass(frozen=True)
class Matching:
    """A matchmaker and what it computes on: one for each use case, so that windows don't queue behind requests."""

    matchmaker: Matchmaker
    solver: SolverProcess
    thread: ThreadPoolExecutor

    def close(self) -> None:
        """Let go of what has not begun, and end the solver."""
        self.thread.shutdown(wait=False, cancel_futures=True)
        self.solver.close()


@dataclass(frozen=True)
class Dispatching:
    """The two use cases, and what has to be closed behind them."""

    dispatcher: Dispatcher
    rides: RideService
    store: Rides
    leases: Ledger
    matchings: tuple[Matching, ...]

    def keeping(self, add: Add) -> Add:
        """A way to keep outcomes that also frees the drivers of rides that are over. Blocks; raises Unavailable."""

        def keep(outcomes: Sequence[Outcome], received_at: float) -> int:
            ends = [(outcome.request_id, outcome.id) for outcome in outcomes if outcome.event in _ENDS]
            if ends:
                self.store.end(ends, received_at)
            return add(outcomes, received_at)

        return keep

    def close(self) -> None:
        """End the solvers and let go of the database."""
        for matching in self.matchings:
            matching.close()
        self.store.close()
        self.leases.close()


class NoFeed:
    """Nobody tells where drivers are."""

    async def positions(self, zone: str | None, now: float) -> Sequence[DriverPosition]:  # noqa: ARG002
        """Say so."""
        raise Unavailable("driver positions", "not_connected", "this replica follows no drivers.moved")


def compose_dispatch(settings: Settings, inside: Inside, drivers: DriverPositions | None) -> Dispatching:
    """Put it together; a solver's process starts when a request first needs it."""
    metrics, at_once, windows = DispatchMetrics(inside.telemetry), _matching(inside), _matching(inside)
    admission = dispatch_admission()
    dispatcher = Dispatcher(
        inside.routing, at_once.matchmaker, inside.request_ids, metrics, clock=inside.clock, admission=admission
    )
    store, leases = Rides(settings.state), Ledger(settings.state)
    outside = Outside(
        store=store,
        lease=leases,
        feed=drivers or NoFeed(),
        matchmaker=windows.matchmaker,
        routing=inside.routing,
        metrics=metrics,
        clock=inside.clock,
        holder=f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}",
    )
    policy = RidePolicy(settings.ride_window_s, settings.ride_hold_s, settings.driver_age_s, settings.ride_lease_s)
    rides = RideService(
        store,
        lambda region: RegionWindows(region, outside, policy),
        inside.routing,
        inside.request_ids,
        metrics,
        clock=inside.clock,
        regions=settings.dispatch_regions,
        wait_s=settings.ride_wait_s,
    )
    _watch(inside.telemetry, rides, admission, (at_once.solver, windows.solver))
    return Dispatching(dispatcher, rides, store, leases, (at_once, windows))


def _matching(inside: Inside) -> Matching:
    thread = ThreadPoolExecutor(1, "dispatch", os.sched_setaffinity, (0, os.sched_getaffinity(0)))
    solver = SolverProcess()
    matchmaker = Matchmaker(
        inside.routing, inside.trips, inside.features, clock=inside.clock, solver=solver, thread=thread
    )
    return Matching(matchmaker, solver, thread)


def _watch(telemetry: Telemetry, rides: RideService, admission: Admission, solvers: Sequence[SolverProcess]) -> None:
    for name, words, read in (
        ("tandem_rides_waiting", "Rides that wait for a driver", lambda: rides.waiting),
        ("tandem_dispatch_in_flight", "Matchings asked for and not answered", lambda: admission.in_flight),
        (
            "tandem_dispatch_solver_stopped_total",
            "Matchings stopped for their deadline",
            lambda: sum(solver.stopped for solver in solvers),
        ),
    ):
        telemetry.watch(name, words, read)
