"""The circuit breaker on a clock that the test turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.breaker import Breaker, State


def tripped() -> Breaker:
    """A breaker opened at second 0."""
    breaker = Breaker()
    for _ in range(5):
        breaker.record(ok=False, now=0.0)
    return breaker


def test_failures_in_a_row_open_it() -> None:
    """The fifth failure in a row stops the calls."""
    breaker = Breaker()
    for _ in range(4):
        breaker.record(ok=False, now=0.0)
    assert breaker.allow(0.0)
    breaker.record(ok=False, now=0.0)
    assert not breaker.allow(0.0)


def test_a_failing_half_opens_it() -> None:
    """Two failures of three, never five in a row, open it once there are enough calls to say so."""
    breaker = Breaker()
    for i in range(20):
        breaker.record(ok=i % 3 == 0, now=0.0)
    assert breaker.state is State.OPEN


def test_one_probe_at_a_time_and_success_closes() -> None:
    """After the pause a single probe goes out; its success closes the breaker."""
    breaker = tripped()
    assert not breaker.allow(0.24)
    assert breaker.allow(0.25)
    assert not breaker.allow(0.26)
    breaker.record(ok=True, now=0.3)
    assert breaker.state is State.CLOSED


def test_a_failed_probe_doubles_the_pause_up_to_its_bound() -> None:
    """0.25, 0.5, 1, 1 seconds: a store that is back is used within two seconds."""
    breaker, now, pauses = tripped(), 0.0, []
    for _ in range(4):
        start = now
        while not breaker.allow(now):
            now += 0.01
        pauses.append(round(now - start, 2))
        breaker.record(ok=False, now=now)
    assert [abs(a - b) < 0.02 for a, b in zip(pauses, [0.25, 0.5, 1.0, 1.0], strict=True)] == [True] * 4


def test_a_probe_that_never_reports_is_replaced() -> None:
    """A cancelled probe must not hold the breaker half-open for ever."""
    breaker = tripped()
    assert breaker.allow(0.3)
    assert not breaker.allow(1.2)
    assert breaker.allow(1.31)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 2)), max_size=100))
def test_it_always_lets_a_probe_out_in_time(steps: list[tuple[bool, float]]) -> None:
    """Whatever happened, within `max_s` of the last event a call may go out again."""
    breaker, now = Breaker(), 0.0
    for ok, gap in steps:
        now += gap
        if breaker.allow(now):
            breaker.record(ok=ok, now=now)
    assert breaker.allow(now + breaker.max_s + 1e-6)
