"""A rollout as a value, and what becomes of it: `step` by evidence, `command` by a person. Both are pure.

Nothing here acts. `route_table` says what a state asks of the traffic; the controller makes it so.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from contracts.routes import RouteTable
from model_registry.ab import decide_ab
from model_registry.evidence import Evidence
from model_registry.guardrails import Outcome, Verdict, judge
from model_registry.lifecycle import ACTIVE, SETTLING, STEPPING, IllegalTransition, Phase, check
from model_registry.policy import AB, Canary, Policy, Shadow, Step

Command = Literal["approve", "pause", "resume", "abort", "promote", "rollback"]
_PHASES: Final = {Shadow: Phase.SHADOW, Canary: Phase.CANARY, AB: Phase.AB, type(None): Phase.PENDING}


class Rollout(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a controller must know to go on; times are epoch seconds."""

    id: str
    model: str
    champion: int
    candidate: int
    fingerprint: str  # of the candidate's artifact, as it was when the rollout began
    policy: Policy
    entered_at: float  # evidence of the present step begins here
    since: float  # the step's own clock; a pause starts it anew
    progress_at: float  # when the candidate last had a new sample
    phase: Phase = Phase.PENDING
    step: int = -1  # -1 while Pending
    ending: Phase = Phase.ROLLED_BACK  # what RollingBack leads to: an abort ends as Aborted
    revision: int = 1
    samples: int = 0
    failing: dict[str, float] = {}  # guardrail -> since when its verdict is Fail
    approved: tuple[int, ...] = ()  # steps that a person let pass; len(policy.steps) stands for the promotion
    verdicts: tuple[Verdict, ...] = ()  # of the last look
    reason: str = ""  # why it is where it is, or what it waits for

    @property
    def active(self) -> bool:
        """Whether the model is taken by this rollout."""
        return self.phase in ACTIVE

    @property
    def percent(self) -> float:
        """Share of the units that the present step gives to the candidate, in per cent."""
        present = self.present
        return 0.0 if present is None or isinstance(present, Shadow) else present.weight

    @property
    def present(self) -> Step | None:
        """The step it is in, also where it is paused there; None while Pending."""
        return self.policy.steps[self.step] if self.step >= 0 else None


class Action(Struct, frozen=True):
    """What a rollout becomes, and whether that is a transition (else it holds, for `state.reason`)."""

    state: Rollout
    moved: bool


def step(state: Rollout, evidence: Evidence, now: float, *, held: str = "") -> Action:
    """Decide what becomes of a rollout. Whatever is not known holds; only a proven breach rolls back.

    `held` says in words why nothing may move forward now (a freeze, say); a rollback never waits.
    """
    if state.phase in SETTLING:
        return _to(state, state.ending if state.phase is Phase.ROLLING_BACK else Phase.SUCCEEDED, state.reason, now)
    if not state.active:
        return Action(state, moved=False)
    if state.present is None:
        return _hold(state, state.reason) if state.phase is Phase.PAUSED else _advance(state, "begins", now, held)
    state = _look(state, evidence, now)
    doomed = _doomed(state, now)
    if doomed:  # also while paused: its users are protected all the same
        return _to(state, Phase.ROLLING_BACK, doomed, now)
    return _hold(state, state.reason) if state.phase is Phase.PAUSED else _forward(state, evidence, now, held)


def command(state: Rollout, verb: Command, reason: str, now: float) -> Action:
    """Do what a person asks; raises IllegalTransition where the phase does not allow it."""
    match verb:
        case "approve":
            return Action(_approve(state), moved=False)
        case "resume":
            if state.phase is not Phase.PAUSED:
                raise IllegalTransition(state.id, state.phase, "be resumed")
            # The step proves itself for its whole time again, on the evidence it has.
            state = msgspec.structs.replace(state, progress_at=now)
            return _to(state, _PHASES[type(state.present)], reason, now)
        case "pause":
            return _to(state, Phase.PAUSED, reason, now)
        case "promote":
            return _to(state, Phase.PROMOTING, reason, now)
        case "rollback":
            return _to(state, Phase.ROLLING_BACK, reason, now)
        case "abort":
            if state.phase is Phase.SUCCEEDED:
                raise IllegalTransition(state.id, state.phase, "be aborted")
            return _to(msgspec.structs.replace(state, ending=Phase.ABORTED), Phase.ROLLING_BACK, reason, now)


def route_table(state: Rollout, generation: int) -> RouteTable:
    """What the state asks of the traffic."""
    champion = state.candidate if state.phase in {Phase.PROMOTING, Phase.SUCCEEDED} else state.champion
    table = RouteTable(model=state.model, generation=generation, champion=champion, salt=state.id)
    if state.phase not in STEPPING | {Phase.PAUSED}:
        return table
    match state.present:
        case None:
            return table
        case Shadow(percent=percent):
            return msgspec.structs.replace(table, shadow=state.candidate, shadow_percent=percent)
        case Canary(weight=weight) | AB(weight=weight):
            return msgspec.structs.replace(table, candidate=state.candidate, candidate_percent=weight)


def _look(state: Rollout, evidence: Evidence, now: float) -> Rollout:
    """Judge, and start, keep or clear each guardrail's clock: NoData neither starts one nor absolves."""
    # A cell that began in an earlier step holds that step's traffic.
    own = tuple(cell for cell in evidence.cells if cell.at >= state.entered_at)
    evidence = msgspec.structs.replace(evidence, cells=own)
    verdicts = tuple(judge(rail, evidence, state.percent, now) for rail in state.policy.guardrails)
    failing = {
        verdict.guardrail: state.failing.get(verdict.guardrail, now)
        for verdict in verdicts
        if verdict.outcome is Outcome.FAIL
        or (verdict.outcome is Outcome.NO_DATA and verdict.guardrail in state.failing)
    }
    fresh = evidence.samples > state.samples
    return msgspec.structs.replace(
        state,
        verdicts=verdicts,
        failing=failing,
        samples=max(state.samples, evidence.samples),
        progress_at=now if fresh else state.progress_at,
    )


def _doomed(state: Rollout, now: float) -> str:
    """Why the candidate must go, in words; empty where it need not."""
    lasts = {rail.metric: rail.for_s for rail in state.policy.guardrails}
    for verdict in state.verdicts:
        name = verdict.guardrail
        if verdict.outcome is not Outcome.FAIL:
            continue
        if verdict.at_once:
            return f"hard bound broken: {verdict.reason}"
        if now - state.failing[name] >= lasts[name]:
            return f"failing for {now - state.failing[name]:g} s: {verdict.reason}"
    idle = now - state.progress_at
    if idle >= state.policy.progress_deadline and state.phase is not Phase.PAUSED:
        return f"no new sample for {idle:g} s, limit {state.policy.progress_deadline:g} s"
    return ""


def _unsure(state: Rollout) -> str:
    return "; ".join(verdict.reason for verdict in state.verdicts if verdict.outcome is not Outcome.PASS)


def _forward(state: Rollout, evidence: Evidence, now: float, held: str) -> Action:
    present, lasted = state.policy.steps[state.step], now - state.since
    if isinstance(present, AB):
        return _forward_ab(state, present, evidence, now, held)
    if unsure := _unsure(state):
        return _hold(state, unsure)
    if state.samples < present.min_samples:
        return _hold(state, f"{state.samples} samples of the {present.min_samples} needed")
    if lasted < present.for_s:
        return _hold(state, f"{lasted:g} s of the {present.for_s:g} s needed")
    return _advance(state, f"all guardrails pass after {lasted:g} s and {state.samples} samples", now, held)


def _forward_ab(state: Rollout, present: AB, evidence: Evidence, now: float, held: str) -> Action:
    decision = decide_ab(state.policy.decide, present, evidence.ab)
    unsure = _unsure(state)
    state = msgspec.structs.replace(state, verdicts=(*state.verdicts, decision))
    if decision.outcome is Outcome.FAIL:
        return _to(state, Phase.ROLLING_BACK, f"A/B lost: {decision.reason}", now)
    if decision.outcome is Outcome.PASS and not unsure:
        return _advance(state, f"A/B won: {decision.reason}", now, held)
    waits = "; ".join(filter(None, (decision.reason, unsure)))
    if now - state.since < present.max_for:
        return _hold(state, waits)
    end = Phase.PAUSED if state.policy.decide.at_max_for == "pause" else Phase.ROLLING_BACK
    return _to(state, end, f"undecided after {present.max_for:g} s: {waits}", now)


def _advance(state: Rollout, reason: str, now: float, held: str) -> Action:
    """Enter the next step with counters and clocks at zero, or promote after the last, unless a gate is shut."""
    if held:
        return _hold(state, held)
    following, approvals = state.step + 1, state.policy.approvals
    if _gate(state) in approvals.before and following not in state.approved:
        return _hold(state, f"waiting for an approval ({approvals.role}) before {_gate(state)}")
    if following == len(state.policy.steps):
        return _to(state, Phase.PROMOTING, reason, now)
    fresh = msgspec.structs.replace(state, step=following, entered_at=now, progress_at=now, samples=0)
    return _to(fresh, _PHASES[type(fresh.present)], reason, now)


def _gate(state: Rollout) -> str:
    """What comes next, by the name it has in `approvals.before`."""
    following = state.step + 1
    return _PHASES[type(state.policy.steps[following])].lower() if following < len(state.policy.steps) else "promote"


def _approve(state: Rollout) -> Rollout:
    gate = _gate(state)
    if state.phase not in STEPPING | {Phase.PENDING} or gate not in state.policy.approvals.before:
        raise IllegalTransition(state.id, state.phase, f"be approved: what comes next, {gate}, needs no approval")
    if state.step + 1 in state.approved:
        raise IllegalTransition(state.id, state.phase, f"be approved: {gate} is approved already")
    return msgspec.structs.replace(state, approved=(*state.approved, state.step + 1))


def _hold(state: Rollout, reason: str) -> Action:
    return Action(msgspec.structs.replace(state, reason=reason), moved=False)


def _to(state: Rollout, phase: Phase, reason: str, now: float) -> Action:
    check(state.id, state.phase, phase)
    return Action(msgspec.structs.replace(state, phase=phase, since=now, failing={}, reason=reason), moved=True)
