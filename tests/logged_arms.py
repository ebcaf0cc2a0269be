"""Replicas' real logs, outcomes in a real database, route tables, and a clock that stands still until told."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.state import State
from contracts.messages import Outcome
from contracts.predictions import Prediction
from contracts.routes import RouteTable
from model_registry.evidence import Arm, Evidence
from model_registry.histogram import Histogram
from model_registry.lifecycle import Phase
from model_registry.policy import AB, Policy, Shadow
from model_registry.rollout import Rollout, route_table
from pipelines.evidence import LogEvidence
from serving.prediction_log import LogLimits, PredictionLog
from serving.request_ids import RequestIds
from tests.fakes import NOW, FakeClock
from tests.model_registry.world import small_policy
from tests.some_predictions import HEAD, prediction

CUT_S = 600.0
SHADOW_STEP, CANARY_STEP, AB_STEP = 0, 1, 3  # of the small policy
_PHASES = {Shadow: Phase.SHADOW, AB: Phase.AB}
_IDS = RequestIds(b"a secret")


@dataclass
class Arms:
    """Champion 1 and candidate 2 of a rollout that entered a step at NOW, under a generation of the route table.

    Generations before it have the champion alone.
    """

    folder: Path
    step: int = CANARY_STEP
    generation: int = 1
    policy: Policy = field(default_factory=small_policy)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        """Put the step's route table in force."""
        self.state = State(f"sqlite:///{self.folder / 'state.db'}")
        self.rollout = self.rollout_at(self.step)
        self.table = route_table(self.rollout, self.generation)
        for before in range(1, self.generation):
            self.state.put_route_table(RouteTable("eta", before, champion=1))
        self.state.put_route_table(self.table)
        self.log = self.replica()

    @property
    def predictions(self) -> Path:
        """The log's folder."""
        return self.folder / "predictions"

    def rollout_at(self, step: int, *, entered_at: float = NOW) -> Rollout:
        """The rollout in one of its steps."""
        phase = _PHASES.get(type(self.policy.steps[step]), Phase.CANARY)
        return Rollout(
            id="eta-1",
            model="eta",
            champion=1,
            candidate=2,
            fingerprint="f",
            policy=self.policy,
            entered_at=entered_at,
            since=entered_at,
            progress_at=entered_at,
            phase=phase,
            step=step,
        )

    def replica(self, limits: LogLimits | None = None) -> PredictionLog:
        """One more process's log; `flush` is its thread's work."""
        return PredictionLog(self.predictions, HEAD, limits, self.clock)

    def source(self, **changes: Any) -> LogEvidence:
        """A controller's evidence, from the beginning, or from its `file`."""
        return LogEvidence(self.predictions, self.state, cut_s=CUT_S, clock=self.clock, **changes)

    def answer(
        self, arm: str = "champion", *, after_s: float = 0.0, eta_s: float = 600.0, **changes: Any
    ) -> Prediction:
        """Log one answer, `after_s` into the step."""
        record = answered(arm, NOW + after_s, eta_s, **{"generation": self.generation, **changes})
        self.log.append(record)
        return record

    def mirrored(self, *, shadow: dict[str, Any] | None = None, **changes: Any) -> Prediction:
        """Log an answer and its shadow's."""
        record = self.answer(**changes)
        mirror = {"request_id": record.request_id, "after_s": record.at - NOW, "unit": record.unit, "server_ms": 0.0}
        self.answer("shadow", **{**mirror, **(shadow or {})})
        return record

    def completed(self, *records: Prediction, actual_s: float, after_s: float = 60.0, **changes: Any) -> None:
        """Keep the outcomes of answers' first trips, received `after_s` after the first answer."""
        outcomes = []
        for record in records:
            words = {"request_id": record.request_id, "id": record.ids[0], "event": "completed", "actual_s": actual_s}
            outcomes.append(Outcome(**{**words, "at": datetime.fromtimestamp(record.at + after_s, UTC), **changes}))
        self.state.add_outcomes(outcomes, records[0].at + after_s)


def answered(arm: str, at: float, eta_s: float, **changes: Any) -> Prediction:
    """One logged trip of an arm."""
    request_id = changes.get("request_id") or _IDS.issue(at)
    fields = {
        "request_id": request_id,
        "at": at,
        "kind": "shadow" if arm == "shadow" else "eta",
        "unit": request_id,
        "generation": 1,
        "version": 1 if arm == "champion" else 2,
        "arm": arm,
        "ids": ["a"],
        "answers": struct.pack("<3f", eta_s, eta_s - 1, eta_s + 1),
        "server_ms": 2.0,
        "model_ms": 1.0,
    }
    return prediction(0, trips=1, **{**fields, **changes})


def total(evidence: Evidence, side: str) -> Arm:
    """All cells of an arm as one."""
    found = [getattr(cell, side) for cell in evidence.cells]
    counts: dict[str, Any] = {"latency": {}, "model": {}}
    for arm in found:
        for name in ("requests", "errors", "fallbacks", "labels", "abs_error_sum", "abs_error_sumsq"):
            counts[name] = counts.get(name, 0) + getattr(arm, name)
        for name in ("latency", "model"):
            for bucket, n in getattr(arm, name).counts.items():
                counts[name][bucket] = counts[name].get(bucket, 0) + n
    return Arm(**{**counts, "latency": Histogram(counts["latency"]), "model": Histogram(counts["model"])})


def watched(seen: list[str]) -> Any:
    """A reader of segments that notes whose records it reads."""
    from adapters.prediction_segments import SegmentReader  # noqa: PLC0415 - before it is replaced

    class Watched(SegmentReader):
        def __iter__(self) -> Any:
            for record in super().__iter__():
                seen.append(record.request_id)
                yield record

    return Watched
