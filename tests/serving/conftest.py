"""A replica's insides without Ray: the tiny model, a store in memory, a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.state import State
from contracts.predictions import Prediction
from contracts.routes import RouteTable
from serving.admission import Admission
from serving.api import Api
from serving.artifacts import load_artifact
from serving.cached_rows import CachedRows, CachePolicy
from serving.dispatch_http import DispatchHttp
from serving.dispatching import Dispatching, Inside, compose_dispatch
from serving.eta import EtaService
from serving.exchange import Answer, Request
from serving.features import FeatureReader
from serving.grpc_api import GrpcApi
from serving.grpc_dispatch import SERVICE, GrpcDispatch
from serving.inference import InferenceService
from serving.outcomes import Outcomes
from serving.request_ids import RequestIds
from serving.routing import Routing
from serving.settings import Settings
from serving.shadow import Shadows
from serving.telemetry import Telemetry
from tests.fakes import LOOKUPS, NOW, SCHEMA, VIEWS, WIDTH, FakeClock, FakeStore, TinyTrips, tiny_artifact
from tests.fakes_dispatch import FakeDrivers


@dataclass
class Straight(httpx.AsyncBaseTransport):
    """Hands requests to the application as the listener does, without a socket."""

    api: Api

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request, one answer."""
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        whole = Request(request.method, request.url.path, request.url.query, headers, await request.aread())
        answer = self.api.arrived(whole) or self.api.answer(whole)
        answered = answer if isinstance(answer, Answer) else await answer
        self.api.answered(whole, answered)
        headers = [(b"content-type", answered.content_type), *answered.headers]
        return httpx.Response(
            answered.status, headers=headers, content=b"" if request.method == "HEAD" else answered.body
        )


class Echo:
    """An application that answers a request's own body; a path of /later is awaited for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.release = asyncio.Event()

    async def noted(self, line: str) -> None:
        """Wait for a line of the log."""
        async with asyncio.timeout(10):
            while line not in self.log:  # noqa: ASYNC110 - a test's log
                await asyncio.sleep(0)

    def arrived(self, request: Request) -> None:
        """Note it."""
        self.log.append(f"arrived {request.path}")

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """At once, or after `release`."""
        answer = Answer(200, request.body or request.path.encode(), b"text/plain")
        return self._later(answer) if request.path == "/later" else answer

    def answered(self, request: Request, answer: Answer) -> None:
        """Note it."""
        self.log.append(f"answered {request.path} {answer.status}")

    async def _later(self, answer: Answer) -> Answer:
        await self.release.wait()
        return answer


@dataclass
class Replica:
    """One composed replica and the twins it stands on."""

    api: Api
    grpc_api: GrpcApi
    eta: EtaService
    inference: InferenceService
    routing: Routing
    admission: Admission
    store: FakeStore
    clock: FakeClock
    state: State
    outcomes: Outcomes
    log: list[Prediction]
    shadows: Shadows
    dispatch: Dispatching
    drivers: FakeDrivers
    request: Callable[..., Awaitable[httpx.Response]] = field(init=False)

    def __post_init__(self) -> None:
        """Let requests go straight into the application."""
        transport = Straight(self.api)

        async def request(method: str, path: str, **kwargs: Any) -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://tandem") as client:
                return await client.request(method, path, **kwargs)

        self.request = request


@pytest.fixture
def clock() -> FakeClock:
    """A module whose tests need time to pass has another one."""
    return FakeClock()


@pytest.fixture
def replica(tmp_path: Path, clock: FakeClock) -> Iterator[Replica]:
    """A replica that is ready."""
    store = FakeStore()
    store.put("city_live", "nyc", NOW - 5, 10.0)
    for zone in ("1", "2", "3"):
        store.put("zone_live", zone, NOW - 5, 3.0, 4.0)
    state = State(f"sqlite:///{tmp_path / 'state.db'}")
    request_ids = RequestIds(state.secret("request_ids"))
    artifact = tiny_artifact(tmp_path / "eta@1")
    routing = Routing(lambda _version: load_artifact(artifact, schema=SCHEMA))
    routing.offer(RouteTable(model="eta", generation=1, champion=1))
    telemetry, admission = Telemetry(), Admission()
    log: list[Prediction] = []
    shadows = Shadows(admission.has_room, log.append)
    rows = CachedRows(store, WIDTH, CachePolicy(deadline_s=1.0), clock)
    features = FeatureReader(rows, VIEWS, LOOKUPS, future_skew_s=60)
    eta = EtaService(
        routing=routing,
        trips=TinyTrips(),
        features=features,
        request_ids=request_ids,
        telemetry=telemetry,
        clock=clock,
        log=log.append,
        shadows=shadows,
    )
    inference = InferenceService(routing, clock, log.append)
    drivers = FakeDrivers()
    inside = Inside(routing, TinyTrips(), features, request_ids, telemetry, clock)
    dispatch = compose_dispatch(Settings(home=tmp_path), inside, drivers)
    outcomes = Outcomes(dispatch.keeping(state.add_outcomes), request_ids, clock)
    more = DispatchHttp(dispatch.dispatcher, dispatch.rides, admission, telemetry).routes
    api = Api(eta, outcomes, inference, admission, telemetry, queue_s=60.0, more=more)
    rpcs = {SERVICE: GrpcDispatch(dispatch.dispatcher, dispatch.rides).rpcs()}
    grpc_api = GrpcApi(eta, inference, admission, telemetry, queue_s=60.0, more=rpcs)
    whole = (api, grpc_api, eta, inference, routing, admission, store, clock, state, outcomes, log, shadows)
    yield Replica(*whole, dispatch, drivers)
    dispatch.close()
