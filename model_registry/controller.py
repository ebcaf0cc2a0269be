"""Looks at a model's rollout at each tick, under a lease, and carries out what rollout.py decides.

The state is written first and the traffic made to follow it, again at every tick; so a controller that dies at any
instruction leaves nothing that the next one does not finish. The lease keeps two from acting; should it ever not, the
revisions of the state and the generations of the route table let only one of them through.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from adapters.ledger import Conflict, Ledger
from contracts.clock import Clock
from contracts.errors import Unavailable
from model_registry.enforce import CONTROLLER, Enforcer, entry
from model_registry.evidence import Evidence
from model_registry.flags import Flags
from model_registry.lifecycle import Phase
from model_registry.ports import EvidenceSource, Registry, Routes, Webhook
from model_registry.records import Records
from model_registry.rollout import Action, Rollout, command, step

_LOG: Final = logging.getLogger(__name__)
LEASE: Final = "controller"
_POST_TRIES: Final = 8
_POST_WAIT_S: Final = 5.0  # doubles with each try


class Controller:
    """One process's controller; any number may run, one acts. Calls block."""

    def __init__(
        self,
        ledger: Ledger,
        routes: Routes,
        evidence: EvidenceSource,
        registry: Registry,
        *,
        clock: Clock,
        holder: str,
        webhook: Webhook | None = None,
        lease_s: float = 15.0,
    ) -> None:
        self._ledger, self._records = ledger, Records(ledger)
        self._enforcer = Enforcer(self._records, routes, registry)
        self._evidence, self._webhook = evidence, webhook
        self._clock, self._holder, self._lease_s = clock, holder, lease_s
        self._renew_at = 0.0
        self._blind = ""  # why there is no evidence: said once
        self._next_look: dict[str, float] = {}  # by rollout; a new process looks at once, which does no harm

    def tick(self, model: str) -> bool:
        """Make the traffic follow, and look where the policy's interval has passed; False where another has the lease.

        Call it every second or so: what people decide is then carried out within one, should their process have died.
        """
        now = self._clock.now()
        try:
            if not self._leads(now):
                return False
            self._tick(model, now)
            if self._webhook:
                self._deliver(self._webhook, now)
        except Conflict as error:
            _LOG.info("somebody else was faster, look again at the next tick: %s", error)
        except Unavailable as error:
            _LOG.warning("rollouts of %s wait: %s", model, error)
        return True

    def stop(self) -> None:
        """Hand the lease over at once."""
        self._renew_at = 0.0
        self._ledger.release(LEASE, self._holder)

    def _leads(self, now: float) -> bool:
        """Whether this one acts. A renewal is a synced write: one each third of the lease will do."""
        if now < self._renew_at <= now + self._lease_s:
            return True
        leads = self._ledger.lease(LEASE, self._holder, now, self._lease_s)
        self._renew_at = now + self._lease_s / 3 if leads else 0.0
        return leads

    def _tick(self, model: str, now: float) -> None:
        flags, rollout = self._records.flags(), self._records.active(model)
        if rollout is None:
            self._enforcer.follow_flags(model, now)
            return
        rollout = self._enforcer.follow(rollout, now)
        if not rollout.active:
            return
        if flags.fallback_only(model):
            # Nobody asks the candidate, so nothing is learnt: its clocks start anew afterwards.
            waits = msgspec.structs.replace(
                rollout, since=now, progress_at=now, failing={}, reason=f"{model} is switched off"
            )
            self._records.save(waits)
            return
        if now < self._next_look.get(rollout.id, now):
            return
        self._next_look = {rollout.id: now + rollout.policy.interval}
        action = self._look(rollout, flags, now)
        if action.state == rollout:
            return
        state = action.state
        entries = [entry(now, CONTROLLER, state.phase, state, state.reason)] if action.moved else []
        self._enforcer.follow(self._records.save(state, entries), now)

    def _look(self, rollout: Rollout, flags: Flags, now: float) -> Action:
        held = "frozen by a flag" if flags.freeze else ""
        try:
            if problem := self._enforcer.artifact_problem(rollout):
                return command(rollout, "rollback", problem, now)
            if (problem := self._enforcer.alias_problem(rollout)) and rollout.phase is not Phase.PAUSED:
                return command(rollout, "pause", problem, now)
        except Exception as error:  # noqa: BLE001 - what can't be checked doesn't move on; guardrails still look
            held = str(error)
            if not isinstance(error, Unavailable):
                _LOG.exception("%s can't be checked", rollout.id)
        return step(rollout, self._gather(rollout, now), now, held=held)

    def _gather(self, rollout: Rollout, now: float) -> Evidence:
        if rollout.present is None:
            return Evidence()
        try:
            found = self._evidence.evidence(rollout, now)
        except Exception as error:  # noqa: BLE001 - a bug of the source must not stop the clocks
            if str(error) != self._blind:
                self._blind = str(error)
                expected = isinstance(error, Unavailable)
                _LOG.warning("no evidence about %s: %r", rollout.id, error, exc_info=None if expected else error)
            self._next_look.clear()  # it may be there at the next tick
            return Evidence()  # which is NoData: it holds, and the progress deadline still counts
        self._blind = ""
        return found

    def _deliver(self, webhook: Webhook, now: float) -> None:
        """Tell the world in order; what can't be delivered waits longer each time, and is dropped in the end."""
        for message in self._ledger.due(now):
            record, tries = message.record, message.attempts + 1
            try:
                webhook.post(msgspec.json.encode(record), f"{record.seq}")
            except Unavailable as error:
                if tries < _POST_TRIES:
                    self._ledger.retry(record.seq, now + _POST_WAIT_S * 2**tries)
                    return  # a dead receiver must not use up the lease
                _LOG.warning("webhook for journal entry %d given up after %d tries: %s", record.seq, tries, error)
            self._ledger.sent(record.seq)
