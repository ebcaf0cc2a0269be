"""Which arm answers for an experiment unit: sticky, monotone in weight, exact in the long run. Pure.

A unit's place in [0, 1) is a hash of the rollout's salt and its id: the same on every replica, and
drawn anew for the next rollout, so that nobody is always the first to get what is new.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from contracts.errors import InvalidInput
from contracts.predictions import SHADOW
from contracts.routes import RouteTable

CHAMPION = "champion"
CANARY = "canary"
_SCALE = 2.0**-53  # 53 bits are what a float holds exactly


class Choice(NamedTuple):
    """The version that answers, and its arm as it stands in answers and logs."""

    version: int
    arm: str


def choose(table: RouteTable, unit: str, override: str | None = None) -> Choice:
    """The arm of a unit; `override` names an arm for testers and raises InvalidInput where there is no such arm."""
    if override is not None:
        return _overridden(table, override)
    if table.candidate is not None and place(table.salt, unit) * 100.0 < table.candidate_percent:
        return Choice(table.candidate, CANARY)
    return Choice(table.champion, CHAMPION)


def shadowed(table: RouteTable, unit: str) -> int | None:
    """The version that runs after the reply, unseen; None where this unit's request is not mirrored."""
    # Another draw than `choose`, or a later canary would get just the units that the shadow had.
    mirrored = place(f"{table.salt}/shadow", unit) * 100.0 < table.shadow_percent
    return table.shadow if mirrored else None


def place(salt: str, unit: str) -> float:
    """Where a unit stands in [0, 1)."""
    # A length ahead of the salt keeps ("a", "bc") and ("ab", "c") apart.
    text = f"{len(salt)}:{salt}{unit}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * _SCALE


def _overridden(table: RouteTable, arm: str) -> Choice:
    versions = {CHAMPION: table.champion, CANARY: table.candidate, SHADOW: table.shadow}
    version = versions.get(arm)
    if version is None:
        known = ", ".join(name for name, held in versions.items() if held is not None)
        raise InvalidInput("X-Tandem-Arm", f"{arm[:40]!r} is not an arm now; there is {known}")
    return Choice(version, arm)
