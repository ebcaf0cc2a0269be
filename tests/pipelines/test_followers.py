"""Consumers side by side: outages, ends and failures."""

from __future__ import annotations

import threading
from collections import Counter

from contracts.errors import Unavailable
from pipelines.followers import follow, run_all
from pipelines.stream_metrics import Ages
from tests.fakes import FakeClock


class Scripted:
    """A consumer that does what it is told, step by step, and then tells all to end."""

    def __init__(self, *steps: int | Exception) -> None:
        self.topic, self.counts, self.ages = "t", Counter[str](), Ages()
        self.stop = threading.Event()
        self._steps = list(steps)
        self.timeouts: list[float] = []

    def step(self, timeout_s: float) -> int:
        """The next of the script."""
        self.timeouts.append(timeout_s)
        found = self._steps.pop(0)
        if not self._steps:
            self.stop.set()
        if isinstance(found, Exception):
            raise found
        return found

    def due_s(self) -> float:
        """Something is due soon."""
        return 0.25

    def lag(self) -> int:
        """Some."""
        return 7


def test_an_outage_is_waited_out_and_told_once() -> None:
    """Steps go on after it; the poll never waits beyond what is due; the lag is looked at."""
    away = Unavailable("stream", "stream_unavailable")
    consumer, lags = Scripted(1, away, away, 0, 2), dict[str, int]()
    follow(consumer, consumer.stop, FakeClock(), lags, retry_s=0.0)
    assert consumer.counts == {"unavailable": 2}
    assert consumer.timeouts == [0.25] * 5
    assert lags == {"t": 7}


def test_one_that_fails_ends_all() -> None:
    """So that the supervisor starts the whole anew."""
    stop, others = threading.Event(), threading.Event()
    reports: list[int] = []

    def broken() -> None:
        raise KeyError("a bug")

    def waits() -> None:
        stop.wait(30)
        others.set()

    assert not run_all([broken, waits], stop, lambda: reports.append(1), every_s=30)
    assert others.is_set()
    assert reports == [1]  # the last words


def test_told_to_end_is_a_good_end() -> None:
    """Every work returns first."""
    stop = threading.Event()
    assert run_all([stop.set, lambda: None], stop, lambda: None, every_s=30)
