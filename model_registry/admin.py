"""Everything that people do with rollouts and flags, in plain values: behind the verbs as well as the admin API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from adapters.ledger import Ledger
from adapters.tokens import Tokens
from contracts.admin import MAX_REASON
from contracts.clock import Clock
from contracts.errors import InvalidInput
from contracts.roles import Actor, Role
from model_registry.controller import LEASE
from model_registry.desk import Desk
from model_registry.policy import parse_policy, read_policy
from model_registry.ports import Registry, Routes
from model_registry.records import Records
from model_registry.rollout import Command, Rollout
from model_registry.views import flags_view, record_view, rollout_view, token_view

NO_REASON: Final = "no reason given"
_POLICIES: Final = Path(__file__).parent / "policies"
_LAST: Final = 50  # journal entries of a rollout


class Admin:
    """One process's access to the rollouts of `models`. Calls block; each may raise Unavailable."""

    def __init__(
        self, ledger: Ledger, routes: Routes, registry: Registry, clock: Clock, models: Sequence[str] = ("eta",)
    ) -> None:
        self._ledger, self._routes, self._clock, self._models = ledger, routes, clock, tuple(models)
        self._records, self._desk = Records(ledger), Desk(ledger, routes, registry, clock, models)
        self._tokens = Tokens(ledger)

    def actor(self, token: str) -> Actor | None:
        """Who holds a bearer token; None where it is unknown, expired or revoked."""
        return self._tokens.actor(token, self._clock.now())

    def rollouts(self) -> dict[str, Any]:
        """All rollouts of each model, newest first."""
        found = (rollout for model in self._models for rollout in reversed(self._records.history(model)))
        return {"rollouts": [self._view(rollout) for rollout in found]}

    def rollout(self, name: str) -> dict[str, Any]:
        """One rollout with the end of its journal; raises NotFound."""
        return self._view(self._records.get(name)) | {"journal": self._journal(_LAST, name)}

    def status(self, model: str) -> dict[str, Any]:
        """What serves, which controller acts, and the rollout that is under way, else the newest."""
        table = self._routes.route_table(model)
        rollout = self.current(model)
        return {
            "model": model,
            "champion": table.champion,
            "generation": table.generation,
            "fallback_only": table.fallback_only,
            **flags_view(self._records.flags(), (model,)),
            "controller": self.controller(),
            "rollout": None if rollout is None else self._view(rollout),
        }

    def controller(self) -> str | None:
        """The controller that holds the lease; None where none runs."""
        return self._ledger.holder(LEASE, self._clock.now())

    def current(self, model: str) -> Rollout | None:
        """The rollout that is under way, else the newest; None before the first."""
        return self._records.standing(model)

    def start(
        self, version: int, actor: Actor, *, document: str = "", reason: str = NO_REASON, replace: bool = False
    ) -> dict[str, Any]:
        """Begin a rollout by a policy document in YAML or JSON, or else by the first model's own.

        Raises InvalidInput, NotFound, ArtifactInvalid, NotAllowed, and NotNow where one is under way.
        """
        policy = parse_policy(document) if document else read_policy(_POLICIES / f"{self._models[0]}.yaml")
        if policy.model not in self._models:
            raise InvalidInput("policy", f"there is no model {policy.model!r}, there is {', '.join(self._models)}")
        return self._view(self._desk.start(policy, version, actor, _words(reason), replace=replace))

    def act(self, name: str, verb: Command, actor: Actor, reason: str = NO_REASON) -> dict[str, Any]:
        """Do what a person asks; traffic has followed when this returns. Raises NotFound, NotAllowed or NotNow."""
        return self._view(self._desk.act(name, verb, actor, _words(reason)))

    def flags(self) -> dict[str, Any]:
        """Every flag by name."""
        return flags_view(self._records.flags(), self._models)

    def set_flag(self, name: str, actor: Actor, reason: str, *, on: bool) -> dict[str, Any]:
        """Set a flag; traffic has followed when this returns. Raises InvalidInput or NotAllowed."""
        return flags_view(self._desk.set_flag(name, actor, _words(reason), on=on), self._models)

    def tokens(self, actor: Actor) -> dict[str, Any]:
        """Every token that was ever made, without its secret; raises NotAllowed for anybody but an admin."""
        actor.must_be("admin", "list tokens")
        return {"tokens": [token_view(token, self._clock.now()) for token in self._tokens.all()]}

    def create_token(self, name: str, role: Role, days: int, actor: Actor) -> dict[str, Any]:
        """Make a token; its text is in this answer and nowhere else. Raises InvalidInput or NotAllowed."""
        text = self._tokens.create(name, role, days, actor, self._clock.now())
        return {"name": name, "role": role, "days": days, "token": text}

    def revoke_token(self, name: str, actor: Actor, reason: str = NO_REASON) -> dict[str, Any]:
        """End a token at once; raises NotFound or NotAllowed."""
        self._tokens.revoke(name, actor, _words(reason), self._clock.now())
        return {"name": name, "revoked": True}

    def history(self, limit: int, name: str | None = None) -> dict[str, Any]:
        """The journal's newest entries, of one rollout or all, after a check of the whole chain.

        Raises JournalBroken where an entry was changed or removed, NotFound for a rollout that never was.
        """
        if name is not None:
            self._records.get(name)
        return {"verified": self._ledger.verify(), "journal": self._journal(limit, name)}

    def _journal(self, limit: int, name: str | None) -> list[dict[str, Any]]:
        return [record_view(record) for record in self._ledger.newest(limit, name)]

    def _view(self, rollout: Rollout) -> dict[str, Any]:
        return rollout_view(rollout, self._clock.now())


def _words(reason: str) -> str:
    """A reason that every database can keep."""
    if not 1 <= len(reason) <= MAX_REASON or not reason.isprintable():
        raise InvalidInput("reason", f"must be 1 to {MAX_REASON} printable characters")
    return reason
