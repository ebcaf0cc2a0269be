"""A replica with the tiny city and drivers in a list, to be killed; run by test_ride_windows.

Arguments: a folder of its own, the database's URL, a socket, how many drivers there are.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.state import State
from contracts.clock import SystemClock
from contracts.routes import RouteTable
from serving.admission import Admission
from serving.api import Api
from serving.artifacts import load_artifact
from serving.cached_rows import CachedRows, CachePolicy
from serving.dispatch_http import DispatchHttp
from serving.dispatching import Inside, compose_dispatch
from serving.eta import EtaService
from serving.features import FeatureReader
from serving.inference import InferenceService
from serving.listener import Listener
from serving.outcomes import Outcomes
from serving.request_ids import RequestIds
from serving.routing import Routing
from serving.settings import load_settings
from serving.shadow import Shadows
from serving.telemetry import Telemetry
from tests.fakes import LOOKUPS, SCHEMA, VIEWS, WIDTH, FakeStore, TinyTrips, tiny_artifact
from tests.fakes_dispatch import FakeDrivers, Seen

WINDOW_S = 0.15
LEASE_S = 0.5


@dataclass
class Standing(FakeDrivers):
    """Drivers who stand where they are, and say so all the time."""

    count: int = 0

    async def positions(self, zone: str | None, now: float) -> list[Seen]:  # noqa: ARG002 - all of one city
        """On a line through the two squares."""
        return [(f"d{i}", 40.755, -73.9895 + 0.019 * i / self.count, now) for i in range(self.count)]


def main(folder: Path, url: str, socket: Path, drivers: int) -> None:
    """Serve until the parent ends, or its SIGKILL comes."""
    words = {"HOME": str(folder), "STATE_URL": url, "RIDE_WINDOW_S": str(WINDOW_S), "RIDE_LEASE_S": str(LEASE_S)}
    settings = load_settings({f"TANDEM_{name}": value for name, value in words.items()})
    clock, state, telemetry, admission = SystemClock(), State(url), Telemetry(), Admission()
    store, request_ids = FakeStore(), RequestIds(state.secret("request_ids"))
    store.put("city_live", "nyc", clock.now() - 5, 10.0)
    artifact = tiny_artifact(folder / "eta@1")
    routing = Routing(lambda _version: load_artifact(artifact, schema=SCHEMA))
    routing.offer(RouteTable(model="eta", generation=1, champion=1))
    rows = CachedRows(store, WIDTH, CachePolicy(deadline_s=1.0), clock)
    features = FeatureReader(rows, VIEWS, LOOKUPS, future_skew_s=60)
    shadows = Shadows(admission.has_room, lambda _: None)
    shared: dict[str, Any] = {"routing": routing, "request_ids": request_ids, "telemetry": telemetry, "clock": clock}
    eta = EtaService(trips=TinyTrips(), features=features, log=lambda _: None, shadows=shadows, **shared)
    dispatch = compose_dispatch(
        settings, Inside(trips=TinyTrips(), features=features, **shared), Standing(count=drivers)
    )
    more = DispatchHttp(dispatch.dispatcher, dispatch.rides, admission, telemetry).routes
    inference, outcomes = (
        InferenceService(routing, clock, lambda _: None),
        Outcomes(dispatch.keeping(state.add_outcomes), request_ids, clock),
    )
    api = Api(eta, outcomes, inference, admission, telemetry, queue_s=60.0, more=more)
    listener = Listener(api, socket, ())
    listener.start()
    sys.stdin.read()  # until the parent is gone
    listener.stop(1.0)
    dispatch.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
