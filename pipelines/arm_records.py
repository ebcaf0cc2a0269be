"""Which logged requests are evidence of a rollout's step, and of which arm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from adapters.state import State
from contracts.answered import Answered
from contracts.predictions import ETA, KILL_SWITCH, SHADOW
from contracts.routes import RouteTable
from model_registry.lifecycle import Phase
from model_registry.policy import Shadow
from model_registry.rollout import Rollout, route_table
from model_registry.tally import CANDIDATE_SIDE, CHAMPION_SIDE, Side
from serving.traffic import CANARY, CHAMPION

_NONE: Final = frozenset[int]()


class ArmRecords:
    """Tells by the generation of the route table a record was answered under.

    Replicas put a new table in force within a second; what they answer until then was split by the old one. A kill
    switch is a table of its own, under which nobody is asked; a replica that can't load that table keeps the switch.
    """

    def __init__(self, rollout: Rollout, state: State) -> None:
        # As it split the traffic in its step, whatever became of it since.
        self._rollout, self._state = msgspec.structs.replace(rollout, phase=Phase.CANARY), state
        self._shadow = isinstance(rollout.present, Shadow)
        self._known = 0  # the newest generation that was looked up
        self._ours = _NONE
        self.first = 0  # generation of the rollout; 0 where it has none yet

    def learn(self, records: Iterable[Answered]) -> None:
        """Look up the generations of records. Raises Unavailable."""
        if max((one.generation for one in records), default=0) > self._known:
            tables = self._state.route_tables(self._rollout.model)
            self._known = tables[-1].generation if tables else 0
            self._ours = frozenset(table.generation for table in tables if self._asks_as_the_step(table))
            own = [table.generation for table in tables if table.salt == self._rollout.id]
            self.first = min(own, default=0)

    def side(self, one: Answered) -> Side | None:
        """Whose answer it is; None where it is no evidence of this step. In a shadow step both sides saw a request."""
        if one.generation not in self._ours or not one.unit or one.reason == KILL_SWITCH:
            return None
        if one.kind == ETA and one.arm == CHAMPION and one.version == self._rollout.champion:
            return CHAMPION_SIDE
        kind, arm = (SHADOW, SHADOW) if self._shadow else (ETA, CANARY)
        if one.kind == kind and one.arm == arm and one.version == self._rollout.candidate:
            return CANDIDATE_SIDE
        return None

    def before(self, one: Answered) -> bool:
        """Whether it was answered before the rollout began: what its unit did by itself."""
        return one.kind == ETA and bool(one.unit) and 0 < one.generation < self.first

    def _asks_as_the_step(self, table: RouteTable) -> bool:
        wanted = route_table(self._rollout, table.generation)
        return msgspec.structs.replace(table, generation=wanted.generation) == wanted
