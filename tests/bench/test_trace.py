"""What a trace of answers says."""

from __future__ import annotations

import numpy as np
import pytest

from bench import load
from bench.trace import Trace, percentile, reason, settled

OK_WITH_REASON = b"HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n" + b'{"reason":"features_timeout"}'
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}"
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def some() -> Trace:
    """Two good answers, a slow one, a refusal and a failure, a second each."""
    return Trace(
        rate=1,
        duration_s=6,
        began=100.0,
        sent=6,
        due_s=np.array([0.0, 1, 2, 3, 4]),
        latency_ms=np.array([1.0, 2, 300, 4, 5]),
        status=np.array([200, 200, 200, 429, 503]),
        words=["model", "features_timeout", "model", "", ""],
        lost={"timeout": 1},
    )


def test_goodput_counts_what_was_in_time(some: Trace) -> None:
    """A 200 after the deadline is of no use, and what was never answered counts nowhere."""
    assert some.goodput(100) == pytest.approx(2 / 6)
    assert some.statuses() == {"200": 3, "429": 1, "503": 1, "timeout": 1}
    assert some.server_errors() == 1
    assert some.latency_ms[some.refused()].tolist() == [4, 5]


def test_a_time_window_is_half_open(some: Trace) -> None:
    """What was due at its end belongs to the next."""
    assert some.between(1, 3).tolist() == [False, True, True, False, False]
    assert some.seen(some.between(1, 3)) == {"features_timeout": 1, "model": 1}
    assert some.last_due(some.between(1, 3)) == 2
    assert some.last_due(some.between(9, 10)) is None


def test_a_body_says_who_answered() -> None:
    """The heuristic says why; the model needs no reason; a refusal holds no estimate."""
    assert reason(b'{"etas":[{"source":"fallback","reason":"features_timeout"}]}') == "features_timeout"
    assert reason(b'{"etas":[{"source":"model"}]}') == "model"
    assert reason(b'{"status":429}') == ""


def test_service_is_as_before_from_a_run_of_good_answers() -> None:
    """A stray good answer begins no run, a stray bad one ends none; too few answers say nothing."""
    good = np.array([False, True, False, False, True, True, True, False, True, True])
    times = np.arange(10.0)
    assert settled(times, good, run=5, share=0.8) == 4
    assert settled(times, good, run=5, share=1.0) is None
    assert settled(times, good[:3], run=5) is None


def test_nothing_has_no_percentile() -> None:
    """A figure that is not there is None, never NaN."""
    assert percentile(np.empty(0), 99) is None
    assert percentile(np.array([1.0, 2.0, 3.0]), 50) == 2


def test_latencies_are_kept_by_status(scripted: object) -> None:
    """A refusal has a latency of its own, and the bodies are looked into."""
    refused = load.trace(scripted(answer=BUSY).address, [REQUEST], rate=100, duration_s=0.2)  # type: ignore[operator]
    assert set(refused.status.tolist()) == {429}
    assert len(refused.latency_ms) == 20
    assert refused.statuses() == {"429": 20}
    address = scripted(answer=OK_WITH_REASON).address  # type: ignore[operator]
    looked = load.trace(address, [REQUEST], rate=100, duration_s=0.2, look=reason)
    assert looked.seen(looked.status == 200) == {"features_timeout": 20}
