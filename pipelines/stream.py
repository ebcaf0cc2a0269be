"""The stack's consumers of events, until told to end.

Trips that ended go to the live features, drivers' moves to their positions, and what waits in the outbox to the broker.
Any number may run, on any machine: they share a group, and every effect may be repeated.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from adapters.driver_positions import DriverPositionWriter
from adapters.invalidations import invalidations_stream
from adapters.online_store import RedisOnlineStore
from adapters.online_writer import RedisOnlineWriter
from adapters.redis_pipe import RedisPipe
from adapters.redis_stream import RedisStream
from adapters.streams import Stream
from adapters.window_cells import RedisWindowCells
from contracts.clock import SystemClock
from contracts.errors import InvalidInput, TandemError, Unavailable
from contracts.events import DRIVERS_MOVED, TRIPS_ENDED
from contracts.features import VIEWS
from pipelines.driver_moves import DriverMoves, Locate
from pipelines.followers import Follower, follow, run_all
from pipelines.layout import Layout
from pipelines.live_features import LiveFeatures, Outside
from pipelines.outbox_sender import OutboxSender
from pipelines.stream_metrics import COMPONENT, families
from pipelines.trip_references import References
from pipelines.zone_points import ZoneRows, read_zone_rows, served_zones
from serving.component_metrics import write_component
from serving.places import Locator
from serving.settings import Settings, load_settings

GROUP: Final = "features"
_TOPICS: Final = (TRIPS_ENDED, DRIVERS_MOVED)
_SOCKETS: Final = "TANDEM_SOCKETS"  # the folder where the stack's processes meet, from the supervisor
_LOG: Final = logging.getLogger(__name__)
_REPORT_S: Final = 5.0
_LOG_REPORTS: Final = 12  # reports from one line in the log to the next
_RETRY_S: Final = 0.5
_NICENESS: Final = 5  # answering comes first
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
    clock = SystemClock()
    with _consumers(settings, stop) as consumers:
        lags: dict[str, int] = {}
        works = [lambda one=one: follow(one, stop, clock, lags) for one in consumers]
        return run_all(works, stop, _Reporter(consumers, lags), every_s=_REPORT_S)


@contextmanager
def _consumers(settings: Settings, stop: threading.Event) -> Iterator[Sequence[Follower]]:
    """All consumers, on connections of their own; nothing where it is told to end before its server answers."""
    url, rows = settings.redis_url, read_zone_rows(served_zones(settings.home))
    clock, future_s = SystemClock(), settings.future_skew_s
    with ExitStack() as closing:
        stream = _stream(settings)
        closing.callback(stream.close)
        subscriptions = _when_there(lambda: [stream.subscribe(topic, GROUP) for topic in _TOPICS], stop)
        if subscriptions is None:
            yield []
            return
        for one in subscriptions:
            closing.callback(one.close)
        trips, moves = subscriptions
        outside = Outside(
            trips=trips,
            cells=RedisWindowCells(url),
            references=References(RedisOnlineStore(RedisPipe(url), VIEWS)),
            writer=RedisOnlineWriter(url, VIEWS, future_s=future_s),
            invalidations=invalidations_stream(url),
        )
        yield [
            LiveFeatures(outside, rows.zones(), clock, future_s=future_s),
            DriverMoves(moves, DriverPositionWriter(url), _locator(rows), clock, future_s=future_s),
            OutboxSender(Layout(settings.home).outbox, stream, clock, time.sleep),
        ]


def _locator(rows: ZoneRows) -> Locate:
    locator = Locator(rows.zones(), rows.polygons)

    def locate(lat: float, lon: float) -> str:
        zone = locator.locate(lat, lon)
        return "" if zone is None else rows.ids[zone]

    return locate


def _stream(settings: Settings) -> Stream:
    if not settings.kafka_bootstrap:
        return RedisStream(settings.redis_url)
    from adapters.kafka_stream import KafkaStream  # noqa: PLC0415 - librdkafka is for who has a broker

    return KafkaStream(settings.kafka_bootstrap)


def _when_there(make: Callable[[], T], stop: threading.Event) -> T | None:
    """Try until the server answers; None where told to end before."""
    while not stop.is_set():
        try:
            return make()
        except Unavailable as error:
            _LOG.warning("%s", error)
            stop.wait(_RETRY_S)
    return None


class _Reporter:
    """Writes the consumers' metrics where the replicas find them, and now and then a line to the log."""

    def __init__(self, consumers: Sequence[Follower], lags: dict[str, int]) -> None:
        self._consumers, self._lags = consumers, lags
        self._folder = os.environ.get(_SOCKETS)
        self._reports = 0

    def __call__(self) -> None:
        if self._folder:
            write_component(Path(self._folder), COMPONENT, families(self._consumers, self._lags, time.time()))
        self._reports += 1
        if self._reports % _LOG_REPORTS == 0:
            told = {
                one.topic: {**one.counts, "lag": self._lags.get(one.topic), "visible_s": one.ages.quantiles()}
                for one in self._consumers
            }
            _LOG.info("%s", json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
