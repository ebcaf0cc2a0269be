"""A replica's insides without Ray: the tiny model, a store in memory, a clock that stands still."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.state import State
from contracts.routes import RouteTable
from serving.admission import Admission
from serving.api import Api
from serving.artifacts import load_artifact
from serving.cached_rows import CachedRows, CachePolicy
from serving.eta import EtaService
from serving.features import FeatureReader
from serving.grpc_api import GrpcApi
from serving.inference import InferenceService
from serving.outcomes import Outcomes
from serving.request_ids import RequestIds
from serving.routing import Routing
from serving.telemetry import Telemetry
from tests.fakes import LOOKUPS, NOW, SCHEMA, VIEWS, FakeClock, FakeStore, TinyTrips, tiny_artifact


@dataclass
class Replica:
    """One composed replica and the twins it stands on."""

    api: Api
    grpc_api: GrpcApi
    eta: EtaService
    routing: Routing
    admission: Admission
    store: FakeStore
    clock: FakeClock
    state: State
    outcomes: Outcomes
    request: Callable[..., Awaitable[httpx.Response]] = field(init=False)

    def __post_init__(self) -> None:
        """Let requests go straight into the application."""
        transport = httpx.ASGITransport(app=self.api)

        async def request(method: str, path: str, **kwargs: Any) -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://tandem") as client:
                return await client.request(method, path, **kwargs)

        self.request = request


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    """A replica that is ready."""
    clock, store = FakeClock(), FakeStore()
    store.put("city_live", "nyc", NOW - 5, 10.0)
    for zone in ("1", "2", "3"):
        store.put("zone_live", zone, NOW - 5, 3.0, 4.0)
    state = State(f"sqlite:///{tmp_path / 'state.db'}")
    request_ids = RequestIds(state.secret("request_ids"))
    artifact = tiny_artifact(tmp_path / "eta@1")
    routing = Routing(lambda _version: load_artifact(artifact, schema=SCHEMA))
    routing.offer(RouteTable(model="eta", generation=1, champion=1))
    telemetry = Telemetry()
    eta = EtaService(
        routing=routing,
        trips=TinyTrips(),
        features=FeatureReader(CachedRows(store, CachePolicy(deadline_s=1.0), clock), VIEWS, LOOKUPS, future_skew_s=60),
        request_ids=request_ids,
        telemetry=telemetry,
        clock=clock,
    )
    inference, admission = InferenceService(routing), Admission()
    outcomes = Outcomes(state.add_outcomes, request_ids, clock)
    api = Api(eta, outcomes, inference, admission, telemetry, queue_s=60.0)
    grpc_api = GrpcApi(eta, inference, admission, telemetry, queue_s=60.0)
    return Replica(api, grpc_api, eta, routing, admission, store, clock, state, outcomes)
