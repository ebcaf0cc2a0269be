"""The load generator: what it sends, and what it does not hide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.http1 import post
from bench.load import schedule, step
from tests.bench.conftest import Scripted

REQUESTS = [post("127.0.0.1", "/", b'{"n": %d}' % n) for n in range(50)]
Start = Callable[..., Scripted]


def test_a_stall_of_two_seconds_shows_as_theory_says(scripted: Start) -> None:
    """All requests due while a server stands still wait for its end: their latencies are spread evenly over 0..2 s.

    With the stall half of the step, the quantile q of all latencies is 2 s * (1 - (1 - q) / 0.5). A generator that
    waits for answers before it sends would have seen one slow request.
    """
    server = scripted(stall_after_s=1.0, stall_s=2.0)
    outcome = step(server.address, REQUESTS, rate=100, duration_s=4.0)
    assert outcome.failed == 0
    assert outcome.answered == 400
    assert outcome.p95_ms == pytest.approx(2000 * (1 - 0.05 / 0.5), rel=0.1)
    assert outcome.p99_ms == pytest.approx(2000 * (1 - 0.01 / 0.5), rel=0.1)


def test_every_request_is_sent_once_and_answered(scripted: Start) -> None:
    """The number of requests is rate times duration, on the server's side too."""
    server = scripted()
    outcome = step(server.address, REQUESTS, rate=400, duration_s=0.5)
    assert (outcome.sent, outcome.answered, outcome.failed) == (200, 200, 0)
    assert server.served == 200


def test_other_statuses_are_failures_by_name(scripted: Start) -> None:
    """A 503 is no answer."""
    server = scripted(answer=b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    outcome = step(server.address, REQUESTS, rate=200, duration_s=0.2)
    assert outcome.errors == {"http_503": 40}
    assert outcome.answered == 0


def test_a_server_that_is_not_there_fails_every_request(scripted: Start) -> None:
    """Refused connections are counted, not raised."""
    server = scripted()
    outcome = step(("127.0.0.1", 1), REQUESTS, rate=200, duration_s=0.2)
    assert outcome.failed == 40
    assert server.served == 0


def test_what_was_not_answered_in_the_drain_time_has_failed(scripted: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that a stalled server holds are timeouts; those that found no free connection were dropped."""
    monkeypatch.setattr("bench.load.DRAIN_S", 0.2)
    monkeypatch.setattr("bench.load.MAX_CONNECTIONS", 8)
    server = scripted(stall_after_s=0.0, stall_s=2.0)
    outcome = step(server.address, REQUESTS, rate=100, duration_s=0.3)
    assert outcome.errors == {"timeout": 8, "dropped": 22}


def test_a_connection_the_server_closes_is_opened_again(scripted: Start) -> None:
    """`Connection: close` costs a new connection and no failure."""
    server = scripted(answer=b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert step(server.address, REQUESTS, rate=200, duration_s=0.3).failed == 0


def test_the_schedule_of_a_seed_is_always_the_same() -> None:
    """Poisson times are reproducible, ascending and fill the step."""
    times = schedule(100, 2.0, seed=3)
    assert np.array_equal(times, schedule(100, 2.0, seed=3))
    assert len(times) == 200
    assert (np.diff(times) >= 0).all()
    assert times[-1] == pytest.approx(2.0)
    assert np.allclose(np.diff(schedule(100, 2.0, seed=None)), 0.01)
