"""Makes the traffic and the registry's alias follow a rollout's state. Every part may be repeated at will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from adapters.ledger import Conflict, Entry
from adapters.state import StaleGeneration
from contracts.errors import ArtifactInvalid, NotFound, Unavailable
from contracts.routes import RouteTable
from model_registry.evidence import Evidence
from model_registry.lifecycle import SETTLING, Phase
from model_registry.ports import Registry, Routes
from model_registry.records import Records
from model_registry.rollout import Rollout, command, route_table, step

CONTROLLER: Final = "controller"  # the actor of what nobody asked for
_TRIES: Final = 1000


def entry(now: float, actor: str, action: str, rollout: Rollout, reason: str) -> Entry:
    """A journal entry about a rollout, with the verdicts of its last look."""
    evidence = {"phase": rollout.phase, "step": rollout.step, "verdicts": rollout.verdicts}
    return Entry(now, actor, action, rollout.id, reason, msgspec.json.encode(evidence).decode())


def replace_table(routes: Routes, model: str, change: Callable[[RouteTable], RouteTable]) -> RouteTable:
    """Change the table in force, under the next generation; nothing happens where the change changes nothing."""
    for _ in range(_TRIES):
        current = routes.route_table(model)
        wanted = msgspec.structs.replace(change(current), generation=current.generation)
        if wanted == current:
            return current
        following = msgspec.structs.replace(wanted, generation=current.generation + 1)
        try:
            routes.put_route_table(following)
        except StaleGeneration:
            continue
        return following
    raise Unavailable("route table", "contended", f"{_TRIES} tries for {model}")


class Enforcer:
    """Has the hands that rollout.py lacks."""

    def __init__(self, records: Records, routes: Routes, registry: Registry) -> None:
        self._records, self._routes, self._registry = records, routes, registry

    def follow(self, rollout: Rollout, now: float) -> Rollout:
        """Bring traffic and alias to the state; a promotion or rollback is then over, and journalled as such.

        Raises Conflict where the rollout is no longer what it was; the traffic has followed what it is.
        """
        if rollout.phase is Phase.PROMOTING and (problem := self.artifact_problem(rollout)):
            rollout = command(rollout, "rollback", problem, now).state
            rollout = self._records.save(rollout, [entry(now, CONTROLLER, "rollback", rollout, problem)])
        table, standing = self._carry_out(rollout.model)
        if standing is None or (standing.id, standing.revision) != (rollout.id, rollout.revision):
            raise Conflict(rollout.id, "moved on meanwhile")
        if rollout.phase not in SETTLING:
            return rollout
        self._registry.set_champion(rollout.model, table.champion)
        settled = step(rollout, Evidence(), now).state
        try:
            return self._records.save(settled, [entry(now, CONTROLLER, settled.phase, settled, settled.reason)])
        except Conflict:  # somebody was faster, and ours may have been the last word about the alias
            if standing := self._records.standing(rollout.model):
                self._registry.set_champion(rollout.model, route_table(standing, 1).champion)
            raise

    def follow_flags(self, model: str, now: float) -> None:
        """Bring the switches to a model's traffic, with or without a rollout."""
        rollout = self._records.active(model)
        if rollout:
            self.follow(rollout, now)
        else:
            self._carry_out(model)

    def _carry_out(self, model: str) -> tuple[RouteTable, Rollout | None]:
        """Write the table that rollout and flags ask for; returns it and the rollout, which may be over, or none.

        Both are read after the table: where somebody else changes them now, either their table follows this one, or
        this one finds that its generation is taken and reads again. So no old state is ever written over a newer one.
        """
        standing: Rollout | None = None

        def asked(table: RouteTable) -> RouteTable:
            nonlocal standing
            standing = self._records.standing(model)
            wanted = table if standing is None else route_table(standing, table.generation)
            return msgspec.structs.replace(wanted, fallback_only=self._records.flags().fallback_only(model))

        return replace_table(self._routes, model, asked), standing

    def artifact_problem(self, rollout: Rollout) -> str:
        """Why the candidate's artifact is not the one the rollout began with; empty where it is."""
        try:
            found = self._registry.fingerprint(rollout.model, rollout.candidate)
        except (ArtifactInvalid, NotFound) as error:
            return str(error)
        if found == rollout.fingerprint:
            return ""
        return f"artifact {rollout.model}@{rollout.candidate} was changed: {found[:12]}, was {rollout.fingerprint[:12]}"

    def alias_problem(self, rollout: Rollout) -> str:
        """Why the registry's alias is not where the rollout knows it; empty where it is."""
        alias = self._registry.champion(rollout.model)
        if alias == rollout.champion:
            return ""
        return f"the registry's champion of {rollout.model} is {alias}, was {rollout.champion}: moved by another hand"
