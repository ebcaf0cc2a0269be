"""What no rollout may do, whatever evidence comes in whatever order."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.routes import RouteTable
from model_registry.evidence import Arm, Cell, Evidence, Moments
from model_registry.guardrails import Outcome
from model_registry.histogram import Histogram
from model_registry.lifecycle import ACTIVE, SETTLING, STEPPING, TRANSITIONS, IllegalTransition, Phase
from model_registry.rollout import Command, Rollout, command, route_table, step
from tests.model_registry.world import small_policy

POLICY = small_policy()
KINDS = ("good", "bad", "sick", "down", "nothing", "few")


def begin() -> Rollout:
    """A rollout of version 2 at time 0."""
    return Rollout("eta-1", "eta", 1, 2, "digest", POLICY, 0.0, 0.0, 0.0)


def arm(n: int, errors: int = 0) -> Arm:
    """An arm with fast answers and exponential errors of 100 s."""
    times = Histogram({400: n})
    return Arm(n, errors, 0, times, times, n, 100.0 * n, 20_000.0 * n)


def evidence(kind: str, state: Rollout, now: float) -> Evidence:
    """Ten minutes of one kind of evidence."""
    n = 0 if kind == "nothing" else 5 if kind == "few" else 1000
    errors = {"bad": n // 20, "down": n, "sick": n}.get(kind, 0)
    share = state.percent / 100 or 0.5
    others = round(n / share * (1 - share))
    cell = Cell(now - 60, arm(others, others if kind == "sick" else 0), arm(n, errors))
    moments = tuple(Moments(m, 100.0 * m, 20_000.0 * m) for m in (10_000_000, 10_000_000))
    return Evidence((cell,), n, (others, n), moments if kind == "good" else None)  # type: ignore[arg-type]


kinds, gaps = st.sampled_from(KINDS), st.sampled_from([0.0, 60.0, 200.0, 4000.0])
verbs: st.SearchStrategy[Command | None] = st.sampled_from(
    [None, None, None, None, "pause", "resume", "abort", "rollback", "approve"]
)
lives = st.lists(st.tuples(kinds, gaps, verbs), max_size=40)


def live(life: list[tuple[str, float, Command | None]]) -> list[tuple[Rollout, Rollout, str]]:
    """Each state with the one that follows it and what led there."""
    state, now, seen = begin(), 0.0, []
    for kind, gap, verb in life:
        now += gap
        if verb:
            try:
                after = command(state, verb, "a person", now).state
            except IllegalTransition:
                continue
            seen.append((state, after, verb))
            state = after
        after = step(state, evidence(kind, state, now), now).state
        seen.append((state, after, kind))
        state = after
    return seen


@given(lives)
def test_every_transition_is_in_the_table(life: list[tuple[str, float, Command | None]]) -> None:
    """Phases change by the lifecycle's table only."""
    for before, after, _ in live(life):
        assert after.phase in TRANSITIONS[before.phase] | {before.phase}


@given(lives)
def test_no_step_is_skipped(life: list[tuple[str, float, Command | None]]) -> None:
    """A step follows the one before it, and a promotion the last."""
    for before, after, _ in live(life):
        assert after.step - before.step in (0, 1)
        if after.phase is Phase.PROMOTING:
            assert before.step == len(POLICY.steps) - 1


@given(lives)
def test_only_good_evidence_moves_on(life: list[tuple[str, float, Command | None]]) -> None:
    """No data, too little, bad data and a sick platform neither enter a step (but the first) nor promote."""
    for before, after, cause in live(life):
        if (after.step > before.step >= 0) or (after.phase is Phase.PROMOTING and before.phase is not Phase.PROMOTING):
            assert cause == "good"
            assert all(v.outcome is Outcome.PASS for v in after.verdicts)


@given(lives)
def test_only_a_proven_breach_or_silence_rolls_back(life: list[tuple[str, float, Command | None]]) -> None:
    """Good evidence, a sick platform and a person's pause never do."""
    for before, after, cause in live(life):
        if after.phase is Phase.ROLLING_BACK and before.phase is not Phase.ROLLING_BACK:
            assert cause in ("bad", "down", "abort", "rollback") or "no new sample" in after.reason


@given(lives)
def test_a_new_step_begins_with_nothing(life: list[tuple[str, float, Command | None]]) -> None:
    """Counters and clocks are not carried from one step to the next."""
    for before, after, _ in live(life):
        if after.step > before.step:
            assert (after.samples, after.failing, after.entered_at) == (0, {}, after.since)


@given(lives)
def test_the_table_fits_the_state(life: list[tuple[str, float, Command | None]]) -> None:
    """The candidate has traffic in a step only, a mirror in a shadow only, and is champion once promoted only."""
    for _, after, _ in live(life):
        table = route_table(after, 1)
        assert isinstance(table, RouteTable)
        serving = after.phase in STEPPING | {Phase.PAUSED} and after.step >= 0
        assert (table.candidate is not None or table.shadow is not None) == serving
        assert (table.champion == 2) == (after.phase in (Phase.PROMOTING, Phase.SUCCEEDED))
        assert table.candidate_percent == (after.percent if serving else 0)


@given(lives)
def test_a_state_survives_its_journey_through_json(life: list[tuple[str, float, Command | None]]) -> None:
    """What is written is what is read."""
    for _, after, _ in live(life)[-1:]:
        assert msgspec.json.decode(msgspec.json.encode(after), type=Rollout) == after


@settings(max_examples=30)
@given(lives)
def test_an_ended_rollout_stays_as_it_is(life: list[tuple[str, float, Command | None]]) -> None:
    """Nothing but second thoughts after a success changes a phase that is an end."""
    for before, after, cause in live(life):
        if before.phase not in ACTIVE:
            assert after.phase is before.phase or cause == "rollback"
        if before.phase in SETTLING and cause in KINDS:
            assert after.phase not in SETTLING


def test_good_evidence_gets_there_and_a_breach_must_last() -> None:
    """The two ends that the properties above leave open: success is reachable, and a Fail acts after `for`."""
    seen = live([("good", 200.0, None)] * 8)
    assert seen[-1][1].phase is Phase.SUCCEEDED
    seen = live([("good", 200.0, None)] * 2 + [("bad", 60.0, None)] * 5)
    phases = [after.phase for _, after, _ in seen]
    assert phases == [*[Phase.SHADOW], *[Phase.CANARY] * 4, Phase.ROLLING_BACK, Phase.ROLLED_BACK]


def test_what_came_before_the_step_does_not_count() -> None:
    """Cells from before the step was entered neither pass nor fail anything."""
    state = msgspec.structs.replace(begin(), phase=Phase.CANARY, step=1, entered_at=1000.0)
    for kind in ("good", "down"):
        old = evidence(kind, state, 1000.0)
        after = step(state, msgspec.structs.replace(old, samples=0), 1000.0).state
        assert after.phase is Phase.CANARY
        assert after.verdicts[0].outcome is Outcome.NO_DATA


def test_a_breach_that_passes_clears_its_clock() -> None:
    """Two minutes bad, one good, two bad: no rollback; and time without data does not absolve."""
    calm = [("good", 200.0, None)] * 2
    bad, good, none = ("bad", 60.0, None), ("good", 10.0, None), ("nothing", 60.0, None)
    assert live([*calm, bad, bad, bad, good, bad, bad, bad])[-1][1].phase is Phase.CANARY
    assert live([*calm, bad, none, none, none, bad])[-1][1].phase is Phase.ROLLING_BACK


def test_silence_is_not_waited_for_for_ever() -> None:
    """After the progress deadline without a new sample the candidate goes, unless a person paused it."""
    calm: list[tuple[str, float, Command | None]] = [("good", 200.0, None)] * 2
    assert "no new sample for 4000 s" in live([*calm, ("nothing", 4000.0, None)])[-1][1].reason
    assert live([*calm, ("nothing", 0.0, "pause"), ("nothing", 4000.0, None)])[-1][1].phase is Phase.PAUSED


def test_an_undecided_experiment_pauses_at_its_end() -> None:
    """After `max_for` without a decision the A/B step does what the policy says."""
    lost = msgspec.structs.replace(begin(), phase=Phase.AB, step=3)
    held = evidence("good", lost, 3600.0)
    unsure = msgspec.structs.replace(held, ab=(Moments(600, 60_000, 12e6), Moments(600, 60_000, 12e6)))
    assert step(lost, unsure, 3599.0).state.phase is Phase.AB
    ended = step(lost, unsure, 3600.0).state
    assert (ended.phase, "undecided after 3600 s" in ended.reason) == (Phase.PAUSED, True)
    worse = msgspec.structs.replace(held, ab=(held.ab[0], Moments(600, 120_000, 48e6)) if held.ab else None)
    assert "A/B lost" in step(lost, worse, 60.0).state.reason
