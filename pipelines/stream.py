"""The stack's followers of events, until told to end.

Trips that ended go to the live features, drivers' moves to their positions, what waits in the outbox to the broker, and
the prediction log to its topic. Any number may run, on any machine: they share a group, and effects may be repeated.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from adapters.driver_position_writer import DriverPositionWriter
from adapters.invalidations import invalidations_stream
from adapters.online_store import RedisOnlineStore
from adapters.online_writer import RedisOnlineWriter
from adapters.redis_pipe import RedisPipe
from adapters.redis_stream import RedisStream, RedisStreamPolicy
from adapters.state import State
from adapters.streams import Stream
from adapters.trip_log import TripLog
from adapters.trip_log_files import logged_hours
from adapters.window_cells import RedisWindowCells
from contracts.clock import SystemClock
from contracts.errors import InvalidInput, TandemError, Unavailable
from contracts.events import DRIVERS_MOVED, TRIPS_ENDED
from contracts.features import VIEWS
from contracts.messages import Outcome
from contracts.prediction_events import PREDICTIONS
from pipelines.chores import Asked, Chore, Hourly
from pipelines.driver_moves import DriverMoves, Locate
from pipelines.followers import Follower, follow, run_all
from pipelines.layout import Layout
from pipelines.live_features import LiveFeatures, Outside
from pipelines.outbox_sender import OutboxSender
from pipelines.prediction_topic import PredictionTopic
from pipelines.statistics_there import StatisticsThere
from pipelines.stream_metrics import COMPONENT, families
from pipelines.trip_outcomes import GROUP as OUTCOMES
from pipelines.trip_outcomes import TripOutcomes
from pipelines.trip_references import References
from pipelines.zone_points import ZoneRows, read_zone_rows, served_zones
from serving.component_metrics import write_component
from serving.places import Locator
from serving.request_ids import RequestIds
from serving.settings import Settings, load_settings

GROUP: Final = "features"
_SUBSCRIPTIONS: Final = ((TRIPS_ENDED, GROUP), (DRIVERS_MOVED, GROUP), (TRIPS_ENDED, OUTCOMES))
_SOCKETS: Final = "TANDEM_SOCKETS"  # the folder where the stack's processes meet, from the supervisor
_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_LOOKS_A_REPORT: Final = 5
_LOOKS_A_LINE: Final = 60  # in the log
_RETRY_S: Final = 0.5
_NICENESS: Final = 5  # answering comes first
_IDLE_NICENESS: Final = 19  # and what nobody waits for last
T = TypeVar("T")


def main() -> int:
    """Follow the stream that the environment names, until told to end; returns 1 for what it can't start without."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.nice(_NICENESS)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        return 0 if _run(load_settings(os.environ), stop) else 1
    except TandemError as error:
        _LOG.error("%s", error)
        return 1


def _run(settings: Settings, stop: threading.Event) -> bool:
    if not settings.redis_url:
        raise InvalidInput(
            "TANDEM_REDIS_URL", "is empty, must be the online store's; the stack tells it its components"
        )
    refill = Asked()
    trips = Layout(settings.home).counted_trips
    chores = [
        Chore("pipelines.refill", refill),
        Chore("pipelines.live_history", Hourly(lambda: bool(logged_hours(trips)), began=time.time())),
    ]
    clock, lags = SystemClock(), dict[str, int]()
    with ExitStack() as closing:
        followers = _followers(settings, stop, refill.ask, closing)
        works = [lambda one=one: _follow(one, stop, lags) for one in followers]
        for chore in chores:
            closing.callback(chore.stop)
        looks = _Looks(followers, lags, chores, clock)
        return run_all(works, stop, looks, every_s=_LOOK_S)


def _follow(one: Follower, stop: threading.Event, lags: dict[str, int]) -> None:
    if isinstance(one, PredictionTopic):  # on Linux a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _IDLE_NICENESS)
    follow(one, stop, SystemClock(), lags)


def _followers(
    settings: Settings, stop: threading.Event, ask: Callable[[], None], closing: ExitStack
) -> Sequence[Follower]:
    """All of them, on connections of their own; none where it is told to end before the server answers."""
    url, layout, rows = settings.redis_url, Layout(settings.home), read_zone_rows(served_zones(settings.home))
    clock, future_s = SystemClock(), settings.future_skew_s
    stream = _stream(settings)
    closing.callback(stream.close)
    subscriptions = _when_there(lambda: [stream.subscribe(*one) for one in _SUBSCRIPTIONS], stop)
    if subscriptions is None:
        return []
    for one in subscriptions:
        closing.callback(one.close)
    trips, moves, ended = subscriptions
    kept = _KeptOutcomes(settings.state)
    closing.callback(kept.close)
    writer, log = RedisOnlineWriter(url, VIEWS, future_s=future_s), TripLog(layout.counted_trips, clock)
    closing.callback(log.close)
    outside = Outside(
        trips=trips,
        cells=RedisWindowCells(url),
        references=References(RedisOnlineStore(RedisPipe(url), VIEWS)),
        writer=writer,
        invalidations=invalidations_stream(url),
        log=log,
        erased=ask,
        filled=StatisticsThere(layout.features, writer, ask, clock),
    )
    features = LiveFeatures(outside, rows.zones(), clock, future_s=future_s)
    followers: list[Follower] = [
        features,
        DriverMoves(moves, DriverPositionWriter(url), _locator(rows), clock, future_s=future_s),
        TripOutcomes(ended, kept.add, kept.issued, clock, check=features.check),
        OutboxSender(layout.outbox, stream, clock, time.sleep),
    ]
    return [*followers, _predictions(settings, stream, closing)]


def _predictions(settings: Settings, stream: Stream, closing: ExitStack) -> PredictionTopic:
    folder, clock = Layout(settings.home).predictions, SystemClock()
    if settings.kafka_bootstrap:
        return PredictionTopic(folder, stream, lambda: True, clock, time.sleep)
    bounded = RedisStream(settings.redis_url, RedisStreamPolicy(max_len=settings.predictions_topic_len))
    closing.callback(bounded.close)
    return PredictionTopic(folder, bounded, lambda: bounded.wanted(PREDICTIONS), clock, time.sleep)


def _stream(settings: Settings) -> Stream:
    if not settings.kafka_bootstrap:
        return RedisStream(settings.redis_url)
    from adapters.kafka_stream import KafkaStream  # noqa: PLC0415 - librdkafka is for who has a broker

    return KafkaStream(settings.kafka_bootstrap)


def _locator(rows: ZoneRows) -> Locate:
    locator = Locator(rows.zones(), rows.polygons)

    def locate(lat: float, lon: float) -> str:
        zone = locator.locate(lat, lon)
        return "" if zone is None else rows.ids[zone]

    return locate


def _when_there(make: Callable[[], T], stop: threading.Event) -> T | None:
    """Try until the server answers; None where told to end before."""
    while not stop.is_set():
        try:
            return make()
        except Unavailable as error:
            _LOG.warning("%s", error)
            stop.wait(_RETRY_S)
    return None


class _KeptOutcomes:
    """The state database, opened with the first outcome: one that is away holds up nobody else."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._state: State | None = None
        self._ids: RequestIds | None = None

    def issued(self, request_id: str) -> bool:
        """Whether a request id is one of ours. Raises Unavailable."""
        if self._ids is None:
            self._ids = RequestIds(self._opened().secret("request_ids"))
        return self._ids.issued(request_id)

    def add(self, outcomes: Sequence[Outcome], received_at: float) -> int:
        """Keep outcomes; returns how many were new. Raises Unavailable."""
        return self._opened().add_outcomes(outcomes, received_at)

    def close(self) -> None:
        """Let the database go."""
        if self._state:
            self._state.close()

    def _opened(self) -> State:
        self._state = self._state or State(self._url)
        return self._state


class _Looks:
    """Once a second: chores that are due, now and then the metrics for the replicas, and a line in the log."""

    def __init__(
        self, followers: Sequence[Follower], lags: dict[str, int], chores: Sequence[Chore], clock: SystemClock
    ) -> None:
        self._followers, self._lags, self._chores, self._clock = followers, lags, chores, clock
        self._folder = os.environ.get(_SOCKETS)
        self._looks = 0

    def __call__(self) -> None:
        now = self._clock.now()
        for chore in self._chores:
            chore.look(now)
        if self._folder and self._looks % _LOOKS_A_REPORT == 0:
            try:
                write_component(Path(self._folder), COMPONENT, families(self._followers, self._lags, now))
            except OSError as error:  # a full disk is no reason to stop following
                _LOG.warning("no metrics: %s", error)
        self._looks += 1
        if self._looks % _LOOKS_A_LINE == 0:
            told = {
                one.topic: {**one.counts, "lag": self._lags.get(one.topic), "visible_s": one.ages.quantiles()}
                for one in self._followers
            }
            _LOG.info("%s", json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
