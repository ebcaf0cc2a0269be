"""Consumers of the stream, each on a thread of its own until all are told to end; what is away is asked again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from contracts.clock import Clock
from contracts.errors import Unavailable
from pipelines.stream_metrics import Measured

_LOG: Final = logging.getLogger(__name__)
_BLOCK_S: Final = 1.0  # a poll waits so long for a message
_LINGER_S: Final = 0.05  # messages that come one by one are taken together
_FEW: Final = 500
_LOOK_S: Final = 5.0  # from one look at the lag to the next
_RETRY_S: Final = 0.5
Work = Callable[[], None]


class Follower(Measured, Protocol):
    """A consumer that is driven step by step; see LiveFeatures."""

    def step(self, timeout_s: float) -> int:
        """Work on one batch; returns how many messages were done. Raises Unavailable."""
        ...

    def due_s(self) -> float:
        """Seconds until there is something to do without a message."""
        ...

    def lag(self) -> int:
        """How many messages are not committed. Raises Unavailable."""
        ...


def follow(
    consumer: Follower, stop: threading.Event, clock: Clock, lags: dict[str, int], *, retry_s: float = _RETRY_S
) -> None:
    """Step until told to stop. An outage is logged when it begins and when it ends; `lags` is kept up to date."""
    looked_at, away = float("-inf"), False
    while not stop.is_set():
        try:
            done = consumer.step(min(_BLOCK_S, consumer.due_s()))
            if clock.monotonic() - looked_at >= _LOOK_S:
                lags[consumer.topic], looked_at = consumer.lag(), clock.monotonic()
        except Unavailable as error:
            consumer.counts["unavailable"] += 1
            if not away:
                _LOG.warning("%s: %s; tried again until it is back", consumer.topic, error)
            away = True
            stop.wait(retry_s)
            continue
        if away:
            _LOG.warning("%s: back", consumer.topic)
            away = False
        if 0 < done < _FEW:
            stop.wait(_LINGER_S)


def run_all(works: Sequence[Work], stop: threading.Event, report: Work, *, every_s: float) -> bool:
    """Run works side by side until `stop`, and `report` meanwhile; False where one of them failed, which ends all."""
    failed = threading.Event()

    def guarded(work: Work) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - whatever it was, the supervisor starts all of it again
            _LOG.exception("a consumer failed")
            failed.set()
            stop.set()

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    while not stop.wait(every_s):
        report()
    for thread in threads:
        thread.join()
    report()
    return not failed.is_set()
