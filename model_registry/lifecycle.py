"""The phases of a rollout and the legal transitions between them, as one table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from contracts.errors import NotNow


class Phase(enum.StrEnum):
    """Where a rollout stands."""

    PENDING = "Pending"
    SHADOW = "Shadow"
    CANARY = "Canary"
    AB = "AB"
    PAUSED = "Paused"
    PROMOTING = "Promoting"
    SUCCEEDED = "Succeeded"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"


class IllegalTransition(NotNow):
    """A rollout was asked to go where its phase does not lead."""

    def __init__(self, rollout: str, phase: Phase, wish: str) -> None:
        super().__init__(f"rollout {rollout} is {phase} and cannot {wish}")


_WAYS_OUT: Final = frozenset({Phase.PAUSED, Phase.PROMOTING, Phase.ROLLING_BACK})
STEPPING: Final = frozenset({Phase.SHADOW, Phase.CANARY, Phase.AB})
SETTLING: Final = frozenset({Phase.PROMOTING, Phase.ROLLING_BACK})  # the traffic has yet to follow
ACTIVE: Final = STEPPING | SETTLING | {Phase.PENDING, Phase.PAUSED}

TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.PENDING: STEPPING | _WAYS_OUT,
    Phase.SHADOW: frozenset({Phase.CANARY, Phase.AB}) | _WAYS_OUT,
    Phase.CANARY: frozenset({Phase.CANARY, Phase.AB}) | _WAYS_OUT,
    Phase.AB: _WAYS_OUT,
    Phase.PAUSED: STEPPING | (_WAYS_OUT - {Phase.PAUSED}) | {Phase.PENDING},
    Phase.PROMOTING: frozenset({Phase.SUCCEEDED, Phase.ROLLING_BACK}),
    Phase.ROLLING_BACK: frozenset({Phase.ROLLED_BACK, Phase.ABORTED}),
    Phase.SUCCEEDED: frozenset({Phase.ROLLING_BACK}),  # the next day's second thoughts
    Phase.ROLLED_BACK: frozenset(),
    Phase.ABORTED: frozenset(),
}


def check(rollout: str, phase: Phase, to: Phase) -> None:
    """Raise IllegalTransition unless the table has it."""
    if to not in TRANSITIONS[phase]:
        raise IllegalTransition(rollout, phase, f"become {to}")
