"""Trips that ended become outcomes of the estimates they were booked on, beside those that `POST /v1/outcomes` brings.

Both end in one table, whose key is request, trip and event: whichever comes second is a duplicate. A batch is kept,
then committed; a consumer that is killed between leaves it to another, and again changes nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import UNSET

from adapters.redis_stream import RedisStream
from adapters.state import State
from adapters.streams import Message, Stream, Subscription
from contracts.clock import Clock, SystemClock
from contracts.errors import InvalidInput, TandemError, Unavailable
from contracts.events import TRIPS_ENDED, TripEnded, decode_event
from contracts.messages import Outcome
from serving.request_ids import RequestIds
from serving.settings import Settings, load_settings

GROUP: Final = "outcomes"
_MOST: Final = 1000  # messages a batch
_NICENESS: Final = 5  # answering comes first
_POLL_S: Final = 1.0
_RETRY_S: Final = 0.5
_LOG: Final = logging.getLogger(__name__)
Keep = Callable[[Sequence[Outcome], float], int]


class TripOutcomes:
    """Works a batch at a time.

    `counts`: accepted, duplicate; unknown, whose request was not issued here; unnamed, without a request; unreadable,
    which the consumer of features puts on the dead letters.
    """

    def __init__(self, trips: Subscription, keep: Keep, issued: Callable[[str], bool], clock: Clock) -> None:
        self._trips, self._keep, self._issued, self._clock = trips, keep, issued, clock
        self._begun: list[Message] = []  # polled, and not committed
        self.counts: Counter[str] = Counter()

    def step(self, timeout_s: float) -> int:
        """Work on one batch; returns how many messages were done. Raises Unavailable, and then begins it again."""
        self._begun = self._begun or self._trips.poll(_MOST, timeout_s)
        if not self._begun:
            return 0
        found: Counter[str] = Counter()
        outcomes = [outcome for message in self._begun if (outcome := self._read(message, found))]
        accepted = self._keep(outcomes, self._clock.now()) if outcomes else 0
        self._trips.commit()
        done, self._begun = len(self._begun), []
        self.counts.update(found)
        self.counts.update(accepted=accepted, duplicate=len(outcomes) - accepted)
        return done

    def lag(self) -> int:
        """How many messages are not committed. Raises Unavailable."""
        return self._trips.lag()

    def _read(self, message: Message, found: Counter[str]) -> Outcome | None:
        try:
            trip = decode_event(message.payload, TripEnded)
        except InvalidInput:
            found["unreadable"] += 1
            return None
        if trip.request_id is UNSET:
            found["unnamed"] += 1
            return None
        if not self._issued(trip.request_id) or "\0" in trip.trip_id:
            found["unknown"] += 1
            return None
        return Outcome(
            request_id=trip.request_id,
            id=trip.trip_id,
            event="completed",
            at=trip.dropoff_at,
            actual_s=trip.duration_s,
        )


def follow(outcomes: TripOutcomes, stop: threading.Event, *, retry_s: float = _RETRY_S) -> None:
    """Step until told to stop; what is unavailable is tried again, and told when it begins and when it ends."""
    away = False
    while not stop.is_set():
        try:
            outcomes.step(_POLL_S)
        except Unavailable as error:
            if not away:
                _LOG.warning("%s; tried again until it is back", error)
            away = True
            stop.wait(retry_s)
            continue
        if away:
            _LOG.warning("back; so far %s", dict(outcomes.counts))
        away = False


def main() -> int:
    """Follow the stream that the environment names, until told to end; returns 1 for what it can't start without."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.nice(_NICENESS)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        _run(load_settings(os.environ), stop)
    except TandemError as error:
        _LOG.error("%s", error)
        return 1
    return 0


def _run(settings: Settings, stop: threading.Event) -> None:
    if not (settings.redis_url or settings.kafka_bootstrap):
        raise InvalidInput("TANDEM_REDIS_URL", "is empty, must be the server of the stream, or TANDEM_KAFKA_BOOTSTRAP")
    stream, state = _stream(settings), State(settings.state)
    try:
        trips = stream.subscribe(TRIPS_ENDED, GROUP)
        issued = RequestIds(state.secret("request_ids")).issued
        outcomes = TripOutcomes(trips, state.add_outcomes, issued, SystemClock())
        follow(outcomes, stop)
        _LOG.info("%s", dict(outcomes.counts))
        trips.close()
    finally:
        stream.close()
        state.close()


def _stream(settings: Settings) -> Stream:
    if not settings.kafka_bootstrap:
        return RedisStream(settings.redis_url)
    from adapters.kafka_stream import KafkaStream  # noqa: PLC0415 - librdkafka is for who has a broker

    return KafkaStream(settings.kafka_bootstrap)


if __name__ == "__main__":
    sys.exit(main())
