"""The traffic split: sticky, monotone in weight, exact in the long run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.routes import RouteTable
from serving.traffic import CANARY, choose, place, shadowed

units, salts, percents = st.text(min_size=1, max_size=40), st.text(max_size=20), st.floats(0, 100)


def table(percent: float, salt: str = "eta-1") -> RouteTable:
    """Version 2 as a canary beside version 1."""
    return RouteTable("eta", 1, champion=1, candidate=2, candidate_percent=percent, salt=salt)


@given(units, salts, percents)
def test_a_unit_sticks_to_its_arm(unit: str, salt: str, percent: float) -> None:
    """The same table and unit give the same arm, whatever else the table's generation."""
    later = RouteTable("eta", 9, champion=1, candidate=2, candidate_percent=percent, salt=salt)
    assert choose(table(percent, salt), unit) == choose(later, unit)


@given(units, salts, percents, percents)
def test_more_weight_takes_nobody_out(unit: str, salt: str, a: float, b: float) -> None:
    """Who has the candidate at a weight has it at every higher one."""
    low, high = sorted((a, b))
    if choose(table(low, salt), unit).arm == CANARY:
        assert choose(table(high, salt), unit).arm == CANARY


@given(units, salts)
def test_nobody_at_nought_and_everybody_at_a_hundred(unit: str, salt: str) -> None:
    """The ends are exact."""
    assert choose(table(0, salt), unit) == (1, "champion")
    assert choose(table(100, salt), unit) == (2, "canary")
    assert 0 <= place(salt, unit) < 1


@pytest.mark.parametrize("percent", [1, 5, 25, 50])
def test_the_share_is_exact_in_the_long_run(percent: float) -> None:
    """Among 40,000 units the share is within four standard errors."""
    n = 40_000
    held = sum(choose(table(percent), f"rider-{i}").arm == CANARY for i in range(n))
    p = percent / 100
    assert abs(held / n - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_the_next_rollout_draws_anew() -> None:
    """Under another salt a canary of 10 % shares about a tenth of its units with the first; so does a shadow."""
    riders = [f"rider-{i}" for i in range(20_000)]
    first = {r for r in riders if choose(table(10, "eta-1"), r).arm == CANARY}
    second = {r for r in riders if choose(table(10, "eta-2"), r).arm == CANARY}
    mirror = RouteTable("eta", 1, champion=1, shadow=2, shadow_percent=10, salt="eta-1")
    third = {r for r in riders if shadowed(mirror, r)}
    assert len(first & second) / len(first) == pytest.approx(0.1, abs=0.03)
    assert len(first & third) / len(first) == pytest.approx(0.1, abs=0.03)


def test_a_tester_names_the_arm() -> None:
    """The override wins over the split, and an arm that is not there is refused with those that are."""
    assert choose(table(0), "rider", "canary") == (2, "canary")
    assert choose(table(100), "rider", "champion") == (1, "champion")
    with pytest.raises(InvalidInput, match=r"'shadow' is not an arm now; there is champion, canary"):
        choose(table(5), "rider", "shadow")
    with pytest.raises(InvalidInput, match=r"there is champion$"):
        choose(RouteTable("eta", 1, champion=1), "rider", "canary")
