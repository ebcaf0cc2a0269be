"""Where people act on rollouts and flags: each act is checked against a role, journalled, and at once carried out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from adapters.ledger import Conflict, Entry, Ledger
from contracts.clock import Clock
from contracts.errors import InvalidInput, NotFound, NotNow, Unavailable
from contracts.roles import Actor
from model_registry.enforce import Enforcer, entry
from model_registry.evidence import Evidence
from model_registry.flags import ENABLED, Flags
from model_registry.policy import Policy
from model_registry.ports import Registry, Routes
from model_registry.records import Records
from model_registry.rollout import Command, Rollout, command, step

_LOG: Final = logging.getLogger(__name__)
_TRIES: Final = 100
_ONWARD: Final = frozenset({"approve", "resume", "promote"})  # what a freeze forbids


class Refused(NotNow):
    """A wish that the rules don't grant as things stand."""


class Desk:
    """Any process may have one: the ledger lets one of two contrary wishes through. Calls block."""

    def __init__(
        self, ledger: Ledger, routes: Routes, registry: Registry, clock: Clock, models: Sequence[str] = ("eta",)
    ) -> None:
        self._records = Records(ledger)
        self._routes, self._registry, self._clock, self._models = routes, registry, clock, models
        self._enforcer = Enforcer(self._records, routes, registry)

    @property
    def records(self) -> Records:
        """For reading."""
        return self._records

    def start(self, policy: Policy, candidate: int, actor: Actor, reason: str, *, replace: bool = False) -> Rollout:
        """Begin a rollout; raises Refused with the name of one that is under way, unless that is to be replaced.

        Raises NotFound or ArtifactInvalid for a version that can't serve, Refused where the registry's alias is not on
        the champion that serves: it would be refused at the promotion.
        """
        actor.must_be("operator", "start a rollout")
        self._unfrozen("start")
        self._registry.verify(policy.model, candidate)
        fingerprint = self._registry.fingerprint(policy.model, candidate)
        for _ in range(_TRIES):
            running = self._records.active(policy.model)
            if running and not replace:
                raise Refused(f"rollout {running.id} is {running.phase}: abort it first, or replace it")
            rollout = self._new(policy, candidate, fingerprint, reason)
            if (alias := self._registry.champion(policy.model)) != rollout.champion:
                serves = f"{policy.model}@{rollout.champion} serves"
                raise Refused(f"the registry's alias champion is on version {alias}, while {serves}: put it back first")
            now = rollout.entered_at
            entries = [entry(now, actor.name, "start", rollout, f"version {candidate}: {reason}")]
            ended = None
            if running:
                ended = step(command(running, "abort", f"replaced by {rollout.id}", now).state, Evidence(), now).state
                entries.insert(0, entry(now, actor.name, "abort", ended, ended.reason))
            try:
                self._records.create(rollout, entries, replaces=ended)
            except Conflict:
                continue
            return self._follow(rollout)
        raise Unavailable("ledger", "contended", f"{_TRIES} tries to start a rollout of {policy.model}")

    def act(self, rollout: str, verb: Command, actor: Actor, reason: str) -> Rollout:
        """Do what a person asks; the traffic has followed when this returns. Raises NotAllowed or NotNow."""
        if verb in _ONWARD:
            self._unfrozen(verb)
        for _ in range(_TRIES):
            found = self._records.get(rollout)
            actor.must_be(found.policy.approvals.role if verb == "approve" else "operator", verb)
            if problem := self._problem(found, verb):
                raise Refused(problem)
            now = self._clock.now()
            wished = command(found, verb, reason, now).state
            try:
                saved = self._records.save(wished, [entry(now, actor.name, verb, wished, reason)])
            except Conflict:
                continue
            return self._follow(saved)
        raise Unavailable("ledger", "contended", f"{_TRIES} tries to {verb} {rollout}")

    def set_flag(self, name: str, actor: Actor, reason: str, *, on: bool) -> Flags:
        """Set a switch; every model's traffic has followed when this returns. Raises InvalidInput or NotAllowed."""
        actor.must_be("admin", f"set {name}")
        model = name.removeprefix(ENABLED)
        if model != name and model not in self._models:
            raise InvalidInput("name", f"there is no model {model!r}, there is {', '.join(self._models)}")
        for _ in range(_TRIES):
            flags = self._records.flags().set(name, on=on)
            said = Entry(self._clock.now(), actor.name, "flag", name, f"{'on' if on else 'off'}: {reason}")
            try:
                saved = self._records.save_flags(flags, said)
            except Conflict:
                continue
            self._follow_flags()
            return saved
        raise Unavailable("ledger", "contended", f"{_TRIES} tries to set {name}")

    def _new(self, policy: Policy, candidate: int, fingerprint: str, reason: str) -> Rollout:
        model, now = policy.model, self._clock.now()
        champion = self._routes.route_table(model).champion
        if champion == candidate:
            raise Refused(f"version {candidate} of {model} is the champion already")
        return Rollout(
            id=f"{model}-{len(self._records.history(model)) + 1}",
            model=model,
            champion=champion,
            candidate=candidate,
            fingerprint=fingerprint,
            policy=policy,
            entered_at=now,
            since=now,
            progress_at=now,
            reason=reason,
        )

    def _follow(self, rollout: Rollout) -> Rollout:
        try:
            return self._enforcer.follow(rollout, self._clock.now())
        except Conflict:
            return self._records.get(rollout.id)
        except Unavailable as error:
            _LOG.warning("%s is written, and carried out at the controller's next tick: %s", rollout.id, error)
            return rollout

    def _follow_flags(self) -> None:
        for model in self._models:
            try:
                self._enforcer.follow_flags(model, self._clock.now())
            except (Conflict, NotFound, Unavailable) as error:
                _LOG.warning("flags reach %s at the controller's next tick: %s", model, error)

    def _problem(self, rollout: Rollout, verb: Command) -> str:
        """Why a wish about this rollout can't be granted now, whatever its phase; empty where it can."""
        if not rollout.active:
            newest = self._records.history(rollout.model)[-1]
            return "" if newest.id == rollout.id else f"{rollout.id} is over; {newest.id} came after it"
        if verb in ("resume", "promote"):
            return self._enforcer.artifact_problem(rollout) or self._enforcer.alias_problem(rollout)
        return ""

    def _unfrozen(self, wish: str) -> None:
        if self._records.flags().freeze:
            raise Refused(f"{wish}: frozen by a flag")
