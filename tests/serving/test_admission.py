"""The admission policy, by its reference values and by what it must never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.admission import Admission, Refusal, gradient2


@pytest.mark.parametrize(("limit", "short_ms", "expected"), [(20, 10, 20.8), (100, 30, 90.8), (100, 16, 99.55)])
def test_gradient2_reference_values(limit: float, short_ms: float, expected: float) -> None:
    """The public implementation's values, with the long latency fixed at 10 ms."""
    assert gradient2(limit, short_ms, 10) == pytest.approx(expected)


def test_a_full_house_turns_the_next_one_away() -> None:
    """At the limit a request is refused at once instead of queued."""
    admission = Admission(limit=2)
    assert [admission.enter(deadline_s=1) for _ in range(3)] == [None, None, Refusal.LIMIT]
    admission.leave(0.001, 0.001)
    assert admission.enter(deadline_s=1) is None


def test_background_work_is_shed_first() -> None:
    """Shadow and refresh may use a share of the limit only."""
    admission = Admission(limit=4)
    assert [admission.enter(deadline_s=1, background=True) for _ in range(3)] == [None, None, Refusal.LIMIT]
    assert admission.enter(deadline_s=1) is None


def test_heavy_work_never_closes_the_door() -> None:
    """However long a request takes, some are let in when nobody is ahead: the average is only learned from work."""
    admission = Admission()
    for _ in range(50):
        assert admission.enter(deadline_s=0.001) is None
        admission.leave(1.0, 1.0)


def test_a_deadline_that_the_queue_cannot_meet_is_refused() -> None:
    """Five ahead at 3 ms each leave no time for a 10 ms deadline, but enough for one of 100 ms."""
    admission = Admission()
    for _ in range(100):
        assert admission.enter(deadline_s=1) is None
        admission.leave(0.003, 0.003)
    for _ in range(5):
        assert admission.enter(deadline_s=1) is None
    assert admission.enter(deadline_s=0.010) is Refusal.DEADLINE
    assert admission.enter(deadline_s=0.100) is None


def test_the_limit_shrinks_when_latency_rises_and_grows_back() -> None:
    """Latency at ten times the long-term average under a crowd shrinks the limit; a calm crowd restores it."""
    admission = Admission(limit=64)

    def crowd(latency_s: float, rounds: int) -> None:
        for _ in range(rounds):
            admission.in_flight = int(admission.limit)
            admission.leave(latency_s, 0.0)

    crowd(0.001, 50)
    start = admission.limit
    crowd(0.010, 10)
    assert admission.limit < start
    low = admission.limit
    crowd(0.001, 200)
    assert admission.limit > low


@given(st.lists(st.tuples(st.booleans(), st.floats(1e-6, 10)), max_size=200))
def test_counts_and_limit_stay_in_bounds(steps: list[tuple[bool, float]]) -> None:
    """Whatever comes, in-flight is never negative nor above the highest limit, and the limit keeps to its range."""
    admission = Admission(limit=8, min_limit=2, max_limit=16)
    for enter, latency_s in steps:
        if enter:
            admission.enter(deadline_s=0.5)
        elif admission.in_flight:
            admission.leave(latency_s, min(latency_s, 0.01))
        assert 0 <= admission.in_flight <= 16
        assert 2 <= admission.limit <= 16
