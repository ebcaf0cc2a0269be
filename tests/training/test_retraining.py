"""A version is opened for a reason, once, and not for a flicker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.features import DAY_S
from training.retraining import DEFAULT, Decision, Look, Memory, Policy, decide

MADE = 1_000 * DAY_S
QUIET = Look(version=1, made_at=MADE, new_days=10.0, drift=0.0, error=1.0)


def looks(
    *found: tuple[float, dict[str, Any]], policy: Policy = DEFAULT, memory: Memory | None = None
) -> list[Decision]:
    """What is decided, look by look: days after the champion was made, and what differs from a quiet look."""
    memory, decisions = memory or Memory(), []
    for day, change in found:
        look = Look(**{**{name: getattr(QUIET, name) for name in QUIET.__struct_fields__}, **change})
        memory, decision = decide(policy, memory, look, MADE + day * DAY_S)
        decisions.append(decision)
    return decisions


def opened(*found: tuple[float, dict[str, Any]], policy: Policy = DEFAULT) -> list[bool]:
    """Whether each look opened a candidate."""
    return [one.open for one in looks(*found, policy=policy)]


def test_nothing_asks_for_a_version_in_quiet_times() -> None:
    """And the reason says how near it is."""
    (decision,) = looks((3.0, {}))
    assert not decision.open
    assert decision.reason == (
        "nothing asks for a version: made or opened 3.0 of 28 days ago, 0% of the columns moved (0 of 2 looks over), "
        "error 1.00 times what it was (0 of 2 looks over)"
    )


def test_the_first_version_needs_no_reason() -> None:
    """There is no champion to have trips that are new to it."""
    decision = decide(DEFAULT, Memory(), Look(version=None), MADE)[1]
    assert decision == Decision(open=True, reason="there is no version yet")


def test_the_schedule_counts_from_the_last_candidate() -> None:
    """Every 28 days, whatever became of it."""
    assert opened((27.9, {}), (28.0, {}), (40.0, {}), (56.0, {})) == [False, True, False, True]


@pytest.mark.parametrize(("name", "on", "between"), [("drift", 0.2, 0.1), ("error", 1.2, 1.07)])
def test_a_trigger_needs_two_looks_in_a_row(name: str, on: float, between: float) -> None:
    """A single one, or one on and off, is a flicker."""
    assert opened((1, {name: on}), (2, {}), (3, {name: on}), (4, {name: on})) == [False, False, False, True]
    assert opened((1, {name: on}), (2, {name: between}), (3, {name: on})) == [False, False, False]


@pytest.mark.parametrize(("name", "on", "between", "off"), [("drift", 0.2, 0.1, 0.05), ("error", 1.2, 1.07, 1.05)])
def test_a_trigger_stays_on_until_the_lower_level(name: str, on: float, between: float, off: float) -> None:
    """It asks again after the gap while it is between the levels, and no more once it was at the lower one."""
    start = [(1, {name: on}), (2, {name: on}), (3, {name: between})]
    assert opened(*start, (9.5, {name: between})) == [False, True, False, True]
    assert opened(*start, (8, {name: off}), (9.5, {name: between})) == [False, True, False, False, False]


def test_the_gap_holds_and_says_so() -> None:
    """What asks is told along with what holds it back."""
    worse = {"error": 1.5}
    decisions = looks((1, worse), (2, worse), (3, worse))
    assert [one.open for one in decisions] == [False, True, False]
    assert decisions[1].reason == "the error is 1.50 times what it was, 1.1 or more asked for a version"
    assert decisions[2].reason.endswith("; but a candidate was opened 1.0 days ago, 7 are between two")


def test_the_same_trips_again_are_no_reason() -> None:
    """However old the champion, a version of trips that it knows would be the same."""
    (decision,) = looks((99.0, {"new_days": 2.0}))
    assert not decision.open
    assert "2.0 days of trips that it has not learned from, 7 needed" in decision.reason


def test_what_can_not_be_judged_neither_asks_nor_calms() -> None:
    """A look without data leaves the count of looks as it was."""
    unknown = {"drift": None, "error": None}
    worse = {"error": 1.5}
    assert opened((1, unknown), (2, unknown), (3, unknown)) == [False] * 3
    assert opened((1, worse), (2, unknown), (3, worse)) == [False, False, True]
    assert opened((1, worse), (2, {"error": float("nan")}), (3, worse)) == [False, False, True]


def test_a_new_champion_begins_anew() -> None:
    """The triggers were about the one before; the gap goes on."""
    worse = {"error": 1.5}
    after = {"version": 2, "made_at": MADE + 2 * DAY_S}
    found = opened((1, worse), (2, worse), (9, after), (10, {**worse, **after}), (11, {**worse, **after}))
    assert found == [False, True, False, False, True]


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 5.0),
            st.none() | st.floats(0, 1),
            st.none() | st.floats(0.5, 3),
            st.integers(0, 30),
            st.integers(1, 3),
        ),
        max_size=60,
    )
)
def test_two_candidates_are_never_nearer_than_the_gap(steps: list[tuple[float, Any, Any, int, int]]) -> None:
    """Whatever is found, and whichever champion is in force; and each has enough new days."""
    memory, now, last = Memory(), MADE, -1e18
    for passed, drift, error, new_days, version in steps:
        now += passed * DAY_S
        look = Look(version=version, made_at=MADE, new_days=new_days, drift=drift, error=error)
        memory, decision = decide(DEFAULT, memory, look, now)
        if decision.open:
            assert now - last >= DEFAULT.min_gap_days * DAY_S - 1e-3
            assert new_days >= DEFAULT.min_new_days
            last = now


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drift_off": 0.15}, "drift_off: 0.15 is not below drift_on, 0.15"),
        ({"error_off": -1.0}, "error_off: -1 is not below error_on, 1.1, and at least 0"),
        ({"confirm": 0}, "confirm: 0 is not above 0"),
        ({"min_gap_days": 40.0}, "min_gap_days: 40 is over every_days, 28"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(change: dict[str, Any], words: str) -> None:
    """With the field, the value and the limit."""
    with pytest.raises(InvalidInput, match=words):
        Policy(**change)
