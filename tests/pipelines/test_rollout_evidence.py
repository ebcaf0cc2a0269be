"""The real controller on real evidence: traffic split by the real table, logged by the real log."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import Outcome
from model_registry.lifecycle import Phase
from pipelines.compaction import compact
from pipelines.evidence import LogEvidence
from serving.prediction_log import PredictionLog
from serving.traffic import CANARY, choose, shadowed
from tests.logged_arms import answered
from tests.model_registry.world import World
from tests.some_predictions import HEAD

CUT_S = 60.0
RIDERS = 600
FAILED = {"fallback": b"\1", "reason": "model_error", "model_ms": 0.0}
# Share of the candidate's answers, what they are, and seconds that they are off.
FAULTS: dict[str, tuple[float, dict[str, Any], float]] = {
    "error_rate": (0.05, FAILED, 0.0),
    "latency_p99_ms": (0.03, {"server_ms": 203.0, "model_ms": 201.0}, 0.0),
    "mae_ratio": (1.0, {}, 40.0),
}


class Traffic:
    """A minute of riders at a time; the candidate is as good as the champion until it gets a fault."""

    def __init__(self, folder: Path) -> None:
        self.world, self.predictions = World(folder), folder / "predictions"
        self.ledger, self.state = self.world.open()
        self.log = PredictionLog(self.predictions, HEAD, clock=self.world.clock)
        self.fault: tuple[float, dict[str, Any], float] = (0.0, {}, 0.0)
        self.draw = random.Random(5)
        self.restart()

    def restart(self) -> None:
        """A controller that knows nothing but what is stored."""
        self.world.arms = LogEvidence(self.predictions, self.state, cut_s=CUT_S, clock=self.world.clock)
        self.world.controller = self.world.process()

    def minute(self) -> Phase:
        """Answer, report, look."""
        table, start = self.world.table(), self.world.clock.time
        outcomes = []
        for rider in range(RIDERS):
            at, unit = start + 60.0 * rider / RIDERS, f"rider-{rider}"
            actual, error = 600.0 + rider, 90.0 + self.draw.uniform(-10, 10)
            version, arm = choose(table, unit)
            words: dict[str, Any] = {"unit": unit, "generation": table.generation, "version": version}
            mine = self._candidate(actual + error) if arm == CANARY else {"eta_s": actual + error}
            record = answered(arm, at, **words, **mine)
            self.log.append(record)
            if shadowed(table, unit):
                mirror = {"request_id": record.request_id, "version": 2, **self._candidate(actual + error)}
                self.log.append(answered("shadow", at, **{**words, **mirror, "server_ms": 0.0}))
            ended = datetime.fromtimestamp(at + 30.0, UTC)
            outcomes.append(Outcome(request_id=record.request_id, id="a", event="completed", at=ended, actual_s=actual))
        self.log.flush()
        self.state.add_outcomes(outcomes, start + 59.0)
        return self.world.tick(1).phase

    def _candidate(self, eta_s: float) -> dict[str, Any]:
        share, changes, off = self.fault
        faulty = self.draw.random() < share
        return {"eta_s": eta_s + off, **changes} if faulty else {"eta_s": eta_s}


@pytest.fixture
def traffic(tmp_path: Path) -> Iterator[Traffic]:
    """A rollout of version 2, about to begin."""
    made = Traffic(tmp_path)
    made.world.start()
    yield made
    made.world.close()


def run(traffic: Traffic, minutes: int) -> Phase:
    """Minutes until the rollout is over, at most so many."""
    phase = Phase.PENDING
    for _ in range(minutes):
        phase = traffic.minute()
        if phase in {Phase.SUCCEEDED, Phase.ROLLED_BACK}:
            break
    return phase


def test_a_good_candidate_becomes_the_champion(traffic: Traffic) -> None:
    """Through shadow, canaries and the A/B step, each on evidence of its own; the log is compacted meanwhile."""
    for _ in range(3):
        run(traffic, 5)
        compact(traffic.predictions, keep_bytes=1 << 40)
    assert run(traffic, 60) is Phase.SUCCEEDED
    assert traffic.world.phases() == ["start", "Shadow", "Canary", "Canary", "AB", "Promoting", "Succeeded"]
    assert traffic.world.table().champion == 2


@pytest.mark.parametrize("metric", sorted(FAULTS))
@pytest.mark.parametrize("after", [0, 6])
def test_a_bad_candidate_goes(traffic: Traffic, metric: str, after: int) -> None:
    """Found in the shadow, or in the canary where it only begins there; by the guardrail that is for it."""
    run(traffic, after)
    traffic.fault = FAULTS[metric]
    assert run(traffic, 60) is Phase.ROLLED_BACK
    assert metric in traffic.world.latest().reason
    assert (traffic.world.table().champion, traffic.world.table().candidate) == (1, None)


def test_a_controller_that_dies_before_each_look_decides_the_same(tmp_path: Path) -> None:
    """What it needs is in the log."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    steady, mortal = Traffic(tmp_path / "a"), Traffic(tmp_path / "b")
    for each in (steady, mortal):
        each.world.start()
    for _ in range(9):
        steady.minute()
        mortal.restart()
        mortal.minute()
    assert mortal.world.latest() == steady.world.latest()
    assert mortal.world.latest().step > 0
    for each in (steady, mortal):
        each.world.close()
