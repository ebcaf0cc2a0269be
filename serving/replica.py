"""What a replica is made of, put together from settings; nothing of Ray."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from adapters.artifact_store import ArtifactStore
from adapters.online_store import OnlineStore, RedisOnlineStore, SqliteOnlineStore
from adapters.redis_pipe import RedisPipe
from adapters.state import State
from contracts.clock import SystemClock
from contracts.errors import ArtifactInvalid
from contracts.features import LOOKUPS, VIEWS
from serving.api import Api
from serving.artifacts import LoadedModel, load_artifact
from serving.eta import EtaService
from serving.features import FeatureReader
from serving.outcomes import Outcomes
from serving.request_ids import RequestIds
from serving.routing import Routing
from serving.settings import Settings
from serving.telemetry import Telemetry
from serving.trips import CityTrips

MODEL: Final = "eta"
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replica:
    """A replica's application and what has to be followed and closed beside it."""

    api: Api
    estimator: EtaService
    routing: Routing
    state: State
    poll_s: float

    async def follow_routes(self) -> None:
        """Put newer route tables in force as they appear; a database that is away is asked again."""
        while True:
            await asyncio.sleep(self.poll_s)
            try:
                await asyncio.to_thread(lambda: self.routing.offer(self.state.route_table(MODEL)))
            except Exception as error:  # noqa: BLE001 - the table in force stays in force
                _LOG.warning("no route table: %s", error)


def compose(settings: Settings) -> Replica:
    """Build a replica that can answer; raises where the route table's versions can't serve."""
    state, telemetry, clock = State(settings.state), Telemetry(), SystemClock()
    artifacts = ArtifactStore(settings.artifacts)

    def load(version: int) -> LoadedModel:
        try:
            return load_artifact(artifacts.read(MODEL, version), threads=settings.model_threads)
        except ArtifactInvalid as error:
            telemetry.refused(error.check)
            raise

    routing = Routing(load)
    routing.offer(state.route_table(MODEL))
    features = FeatureReader(
        _online_store(settings),
        VIEWS,
        LOOKUPS,
        deadline_s=settings.feature_deadline_ms / 1000,
        future_skew_s=settings.future_skew_s,
    )
    request_ids = RequestIds(state.secret("request_ids"))
    estimator = EtaService(
        routing=routing,
        trips=CityTrips(),
        features=features,
        request_ids=request_ids,
        telemetry=telemetry,
        clock=clock,
    )
    api = Api(estimator, Outcomes(state.add_outcomes, request_ids, clock), telemetry)
    return Replica(api, estimator, routing, state, settings.route_poll_ms / 1000)


def _online_store(settings: Settings) -> OnlineStore:
    if settings.redis_url:
        return RedisOnlineStore(RedisPipe(settings.redis_url), VIEWS)
    return SqliteOnlineStore(settings.home / "feast" / "online_store.db", VIEWS)
