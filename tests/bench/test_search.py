"""The search for the highest rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.search import CEILING, PRECISION, highest_rate, nearby


@given(capacity=st.floats(2, 15_000), start=st.floats(10, 1000))
def test_the_found_rate_is_within_the_precision_of_the_capacity(capacity: float, start: float) -> None:
    """Whatever the first guess, for a server that holds exactly up to its capacity."""

    def holds(rate: float) -> bool:
        return rate <= capacity

    found = highest_rate(holds, holds, start=start)
    assert capacity / (1 + PRECISION) <= found <= capacity


@given(capacity=st.floats(2, 15_000), drift=st.floats(0.8, 1.2))
def test_a_later_turn_finds_a_capacity_that_drifted(capacity: float, drift: float) -> None:
    """Walking from the rate of the turn before ends within two steps' precision."""

    def holds(rate: float) -> bool:
        return rate <= capacity * drift

    found = nearby(holds, capacity)
    assert capacity * drift * (1 - PRECISION) ** 2 <= found <= capacity * drift


def test_the_longer_step_has_the_last_word() -> None:
    """A rate that only short steps hold is lowered until the confirming step agrees."""
    assert 400 * 0.95 <= highest_rate(lambda rate: rate <= 500, lambda rate: rate <= 400, start=50) <= 400


def test_a_server_that_holds_nothing_has_no_rate() -> None:
    """The answer is 0, and the ceiling where nothing breaks."""
    assert highest_rate(lambda _: False, lambda _: False, start=50) == 0
    assert highest_rate(lambda _: True, lambda _: True, start=50) == CEILING
