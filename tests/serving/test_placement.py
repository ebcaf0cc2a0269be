"""Where the front and the listeners run."""

from __future__ import annotations

from serving.placement import front_cpu, listener_cpu


def test_one_processor_is_everyones() -> None:
    """Without a choice nothing is bound."""
    assert front_cpu({3}) is None
    assert listener_cpu({3}, 0, 1) is None


def test_listeners_stay_off_the_fronts_processor() -> None:
    """The front has the first, each listener one of the others; one in a slot of a rolling update is free."""
    cpus = {4, 5, 6}
    assert front_cpu(cpus) == 4
    assert [listener_cpu(cpus, slot, 2) for slot in range(4)] == [5, 6, None, None]


def test_more_replicas_than_processors_share_all() -> None:
    """Two replicas on two processors are not bound to the one that the front leaves."""
    assert listener_cpu({0, 1}, 0, 2) is None
    assert listener_cpu({0, 1}, 0, 1) == 1
