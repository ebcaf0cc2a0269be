"""What the controller needs of the world, as protocols; each may raise Unavailable."""

from __future__ import annotations

from typing import Protocol

from contracts.routes import RouteTable
from model_registry.evidence import Evidence
from model_registry.rollout import Rollout


class Routes(Protocol):
    """Route tables; `adapters.state.State` is one."""

    def route_table(self, model: str) -> RouteTable:
        """The table in force; raises NotFound."""
        ...

    def put_route_table(self, table: RouteTable) -> None:
        """Put the next generation in force; raises StaleGeneration."""
        ...


class EvidenceSource(Protocol):
    """Where counts and labels come from."""

    def evidence(self, rollout: Rollout, now: float) -> Evidence:
        """What both arms did between the present step's `entered_at` and now."""
        ...


class Registry(Protocol):
    """The model registry and the artifacts behind it."""

    def champion(self, model: str) -> int | None:
        """The version that the alias `champion` names."""
        ...

    def set_champion(self, model: str, version: int) -> None:
        """Move the alias; doing it twice changes nothing."""
        ...

    def verify(self, model: str, version: int) -> None:
        """Load a published artifact as a replica does; raises NotFound, or ArtifactInvalid where it must not serve."""
        ...

    def fingerprint(self, model: str, version: int) -> str:
        """A digest over every file of a published artifact; raises NotFound or ArtifactInvalid."""
        ...


class Webhook(Protocol):
    """Who wants to be told."""

    def post(self, body: bytes, key: str) -> None:
        """Deliver JSON; the key is the same when it comes twice."""
        ...
