"""Who acts on a running service, and what they may do."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from contracts.errors import NotAllowed

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "admin")
"""In ascending order: each may do what those before it may."""


class Actor(msgspec.Struct, frozen=True):
    """A person or a program with a name for the audit log."""

    name: str
    role: Role

    def must_be(self, role: Role, wish: str) -> None:
        """Raise NotAllowed for a lesser role."""
        if ROLES.index(self.role) < ROLES.index(role):
            raise NotAllowed(wish, f"{self.name} is {self.role}", f"must be {role}")
