"""What a replica is made of, put together from settings; nothing of Ray."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from adapters.artifact_store import ArtifactStore
from adapters.driver_positions import RedisDriverPositions
from adapters.ledger import Ledger
from adapters.online_store import OnlineStore, RedisOnlineStore, RowLayout
from adapters.redis_pipe import RedisPipe
from adapters.segment_writer import SegmentLimits
from adapters.sqlite_online_store import SqliteOnlineStore
from adapters.state import State
from adapters.tokens import Tokens
from contracts.clock import Clock, SystemClock
from contracts.errors import ArtifactInvalid
from contracts.features import ETA_SCHEMA, LOOKUPS, STATISTICS_TTL_S, VIEWS
from contracts.predictions import SegmentHead
from contracts.schema import Floats
from serving.admission import Admission
from serving.api import Api, Exposition
from serving.arm_override import ArmOverride
from serving.artifacts import LoadedModel, load_artifact
from serving.bearer import Holder
from serving.cached_rows import CachedRows, CachePolicy
from serving.dispatch_http import DispatchHttp
from serving.dispatching import Dispatching, Inside, compose_dispatch
from serving.eta import EtaService
from serving.features import FeatureReader
from serving.grpc_api import GrpcApi
from serving.grpc_dispatch import SERVICE, GrpcDispatch
from serving.inference import InferenceService
from serving.invalidation import InvalidationListener
from serving.metric_cells import Family
from serving.outcomes import Outcomes
from serving.prediction_log import LogLimits, PredictionLog
from serving.request_ids import RequestIds
from serving.routing import Routing
from serving.settings import Settings
from serving.shadow import Shadows
from serving.telemetry import Telemetry
from serving.trips import CityTrips

MODEL: Final = "eta"
Follower = Callable[[], Coroutine[Any, Any, None]]
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replica:
    """A replica's application and what has to be followed and closed beside it."""

    api: Api
    grpc_api: GrpcApi
    estimator: EtaService
    routing: Routing
    admission: Admission
    telemetry: Telemetry
    state: State
    log: PredictionLog
    dispatch: Dispatching
    followers: tuple[Follower, ...]  # what runs beside requests, on their loop
    poll_s: float
    routes_thread: ThreadPoolExecutor  # of its own: a rollback does not queue behind hundreds of model calls

    def start(self) -> None:
        """Begin to write the prediction log, and let the collector forget what has been made until now.

        All of Ray, onnxruntime and the tables stay for good; going through them again and again would keep requests
        waiting for tens of milliseconds.
        """
        self.log.start()
        gc.collect()
        gc.freeze()

    def close(self) -> None:
        """Write what is left and let go of files and the database."""
        self.log.close()
        self.dispatch.close()
        self.state.close()

    def _look(self) -> None:
        self.routing.follow(lambda: self.state.route_table(MODEL))

    async def follow_routes(self) -> None:
        """Put newer route tables in force as they appear; a database that is away is asked again."""
        while True:
            await asyncio.sleep(self.poll_s)
            try:
                await asyncio.get_running_loop().run_in_executor(self.routes_thread, self._look)
            except Exception as error:  # noqa: BLE001 - the table in force stays in force
                _LOG.warning("no route table: %s", error)


def compose(
    settings: Settings,
    tier: Callable[[Callable[[], list[Family]]], Exposition] | None = None,
) -> Replica:
    """Build a replica that can answer; raises where the route table's versions can't serve.

    `tier` makes the metrics of the whole tier from what gives this replica's own; without it there are only these.
    """
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
    admission = Admission(queue_s=settings.queue_ms / 1000)
    policy = CachePolicy(
        capacity=settings.feature_cache_rows,
        ttl_s=settings.feature_cache_ttl_s,
        absent_ttl_s=min(1.0, settings.feature_cache_ttl_s),
        stale_s=settings.feature_stale_s,
        deadline_s=settings.feature_deadline_ms / 1000,
        entity_ttl_s=dict.fromkeys(_statistics(), settings.feature_cache_statistics_ttl_s),
    )
    width = RowLayout(VIEWS).width
    rows = CachedRows(_online_store(settings), width, policy, clock, background=admission.has_room)
    features = FeatureReader(rows, VIEWS, LOOKUPS, future_skew_s=settings.future_skew_s)
    log = PredictionLog(
        settings.predictions,
        SegmentHead.of(ETA_SCHEMA, LOOKUPS, f"tandem/{socket.gethostname()}"),
        LogLimits(
            memory_bytes=settings.prediction_log_memory_mb << 20,
            segments=SegmentLimits(disk_bytes=settings.prediction_log_disk_mb << 20),
        ),
        clock,
    )
    shadows = Shadows(admission.has_room, log.append)
    request_ids = RequestIds(state.secret("request_ids"))
    estimator = EtaService(
        routing=routing,
        trips=CityTrips(),
        features=features,
        request_ids=request_ids,
        telemetry=telemetry,
        clock=clock,
        log=log.append,
        shadows=shadows,
    )
    inference, queue_s = InferenceService(routing, clock, log.append), settings.queue_ms / 1000
    drivers = _drivers(settings) if settings.redis_url else None
    dispatch = compose_dispatch(
        settings, Inside(routing, CityTrips(), features, request_ids, telemetry, clock), drivers
    )
    outcomes = Outcomes(dispatch.keeping(state.add_outcomes), request_ids, clock)
    exposition = tier(telemetry.snapshot) if tier else None
    routes = DispatchHttp(dispatch.dispatcher, dispatch.rides, admission, telemetry).routes
    api = Api(estimator, outcomes, inference, admission, telemetry, queue_s=queue_s, exposition=exposition, more=routes)
    rpcs = {SERVICE: GrpcDispatch(dispatch.dispatcher, dispatch.rides).rpcs()}
    grpc_api = GrpcApi(estimator, inference, admission, telemetry, queue_s=queue_s, more=rpcs)
    followers: list[Follower] = [shadows.follow]
    if settings.redis_url:
        followers.append(InvalidationListener(RedisPipe(settings.redis_url), rows).follow)
    api.override = ArmOverride(_token_holder(settings.state, clock))
    _watch(telemetry, admission, rows, clock)
    _watch_log(telemetry, log, shadows)
    _watch_outcomes(telemetry, outcomes)
    return Replica(
        api,
        grpc_api,
        estimator,
        routing,
        admission,
        telemetry,
        state,
        log,
        dispatch,
        tuple(followers),
        settings.route_poll_ms / 1000,
        ThreadPoolExecutor(1, "routes", os.sched_setaffinity, (0, os.sched_getaffinity(0))),
    )


def _drivers(settings: Settings) -> RedisDriverPositions:
    pipe = RedisPipe(settings.redis_url)
    return RedisDriverPositions(pipe, max_age_s=settings.driver_age_s, future_s=settings.future_skew_s)


def _token_holder(url: str, clock: Clock) -> Holder:
    """Who holds a token; the ledger is opened when a tester first comes."""

    @cache
    def tokens() -> Tokens:
        return Tokens(Ledger(url))

    return lambda token: tokens().actor(token, clock.now())


def _statistics() -> set[str]:
    """Entities of which nothing is live: their rows change when history is materialized, not by the minute."""
    return {view.entity for view in VIEWS} - {view.entity for view in VIEWS if view.ttl_s < STATISTICS_TTL_S}


def _watch(telemetry: Telemetry, admission: Admission, rows: CachedRows, clock: Clock) -> None:
    cache = rows.cache
    for name, words, read in (
        ("tandem_in_flight", "Requests let in and not yet answered", lambda: admission.in_flight),
        ("tandem_concurrency_limit", "Requests that may be in flight", lambda: admission.limit),
        ("tandem_busy_seconds_total", "Seconds that requests held the event loop", lambda: admission.busy_s),
        ("tandem_cpu_seconds_total", "Processor time of the replica's process", time.process_time),
        ("tandem_cache_rows", "Rows in the feature cache", lambda: len(cache)),
        ("tandem_cache_hits_total", "Rows found in the feature cache", lambda: cache.hits),
        ("tandem_cache_misses_total", "Rows not found in the feature cache", lambda: cache.misses),
        ("tandem_cache_evictions_total", "Rows pushed out of the feature cache", lambda: cache.evicted),
        ("tandem_cache_stale_rows_total", "Rows that stood in for a store that was gone", lambda: rows.stale_rows),
        ("tandem_store_reads_total", "Reads of the online store", lambda: rows.reads),
        ("tandem_store_breaker_open", "1 while the online store is left alone", rows.breaker.is_open),
    ):
        telemetry.watch(name, words, read)
    telemetry.watch_each(
        "tandem_cache_row_age_seconds",
        "Seconds since the rows in the feature cache were read",
        ("quantile",),
        lambda: _quantiles(cache.ages(clock.monotonic())),
    )


def _watch_log(telemetry: Telemetry, log: PredictionLog, shadows: Shadows) -> None:
    telemetry.watch("tandem_prediction_log_records_total", "Records written to the log", lambda: log.records)
    telemetry.watch("tandem_prediction_log_bytes_total", "Bytes written to the log", lambda: log.bytes)
    telemetry.watch("tandem_prediction_log_write_errors_total", "Writes that failed", lambda: log.write_errors)
    telemetry.watch_each(
        "tandem_prediction_log_dropped_total",
        "Records that are not in the log, by what had no room",
        ("cause",),
        lambda: {("memory",): log.dropped_memory, ("disk",): log.dropped_disk, ("encoding",): log.refused},
    )
    telemetry.watch_each(
        "tandem_shadow_requests_total",
        "Requests offered to the shadow, by what became of them",
        ("outcome",),
        lambda: {("ran",): shadows.ran, ("shed",): shadows.shed, ("failed",): shadows.failed},
    )


def _watch_outcomes(telemetry: Telemetry, outcomes: Outcomes) -> None:
    telemetry.watch_each(
        "tandem_outcomes_total",
        "Outcomes that callers sent, by what became of them",
        ("result",),
        lambda: {
            ("accepted",): outcomes.accepted,
            ("duplicate",): outcomes.duplicate,
            ("unknown",): outcomes.unknown,
        },
    )


def _quantiles(ages: Floats) -> dict[tuple[str, ...], float]:
    if not len(ages):
        return {}
    wanted = (0.5, 0.9, 1.0)
    return {(str(share),): float(age) for share, age in zip(wanted, np.quantile(ages, wanted), strict=True)}


def _online_store(settings: Settings) -> OnlineStore:
    if settings.redis_url:
        return RedisOnlineStore(RedisPipe(settings.redis_url), VIEWS)
    return SqliteOnlineStore(settings.home / "feast" / "online_store.db", VIEWS)
