"""A whole replica answers, its own log is read: what serving writes is what the judge's evidence is made of."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from adapters.artifact_store import ArtifactStore
from adapters.online_writer import RedisOnlineWriter, Upsert
from adapters.valkey import EmbeddedValkey
from contracts.features import ETA_SCHEMA, VIEWS
from contracts.messages import EtaRequest, EtaResponse, Place, TripRequest
from contracts.trips import CITY
from model_registry.evidence import Evidence
from pipelines.evidence import open_evidence
from serving.call import Call
from serving.replica import Replica, compose
from serving.settings import Settings
from tests.fakes import constant_onnx, tiny_artifact
from tests.logged_arms import AB_STEP, SHADOW_STEP, Arms

WIDTH = len(ETA_SCHEMA.features)
REQUESTS = 60
TRIP = TripRequest(pickup=Place(zone="1"), dropoff=Place(zone="2"), id="a")


async def ask(replica: Replica, requests: int) -> list[EtaResponse]:
    """Riders one after another, with time for what runs beside them."""
    beside = [asyncio.create_task(follow()) for follow in replica.followers]
    answers = []
    for i in range(requests):
        answer = replica.estimator.estimate(EtaRequest(trips=(TRIP,), unit=f"rider-{i}"), Call())
        answers.append(answer if isinstance(answer, EtaResponse) else await answer)
        for _ in range(5):
            await asyncio.sleep(0)
    for task in beside:
        task.cancel()
    return answers


def answered(tmp_path: Path, valkey: EmbeddedValkey, step: int) -> tuple[list[EtaResponse], Evidence]:
    """What callers got in a step, and the evidence of it."""
    arms = Arms(tmp_path, step=step)
    # A busy machine is not what is tested; and without any value in the store the heuristic answers.
    settings = Settings(home=tmp_path, redis_url=valkey.socket_url, feature_deadline_ms=5000.0)
    width, now = len(VIEWS[0].features), time.time()
    row = Upsert(VIEWS[0].name, CITY, round(now * 1e6), (0.1,) * width)
    RedisOnlineWriter(valkey.socket_url, VIEWS).upsert([row], now)
    store = ArtifactStore(settings.artifacts)
    for version, eta_s in ((1, 500.0), (2, 520.0)):
        model = constant_onnx(WIDTH, eta_s)
        store.publish(tiny_artifact(tmp_path / f"made-{version}", version=version, schema=ETA_SCHEMA, model=model))
    rollout = arms.rollout_at(step, entered_at=time.time() - 1)
    replica = compose(settings)
    try:
        answers = asyncio.run(ask(replica, REQUESTS))
        replica.log.flush()
        source = open_evidence(settings)
        found = source.evidence(rollout, time.time())
        source.close()
    finally:
        replica.close()
    return answers, found


def counted(evidence: Evidence, side: str, name: str) -> Any:
    """A count over all cells."""
    return sum(getattr(getattr(cell, side), name) for cell in evidence.cells)


def test_both_arms_of_a_replica_are_counted(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """As callers were told: arm by arm, unit by unit, with the times of each."""
    answers, evidence = answered(tmp_path, valkey, AB_STEP)
    by_candidate = sum(answer.etas[0].arm == "canary" for answer in answers)
    assert 0 < by_candidate < REQUESTS
    assert {(answer.etas[0].source, answer.etas[0].reason) for answer in answers} == {("model", UNSET)}
    assert evidence.units == (REQUESTS - by_candidate, by_candidate)
    assert counted(evidence, "candidate", "requests") == evidence.samples == by_candidate
    assert sum(cell.candidate.latency.n for cell in evidence.cells) == by_candidate
    assert sum(cell.champion.model.n for cell in evidence.cells) == REQUESTS - by_candidate
    assert counted(evidence, "candidate", "errors") == counted(evidence, "champion", "fallbacks") == 0


def test_a_replicas_shadow_is_laid_beside_its_answers(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """Each pair differs by what the models do."""
    answers, evidence = answered(tmp_path, valkey, SHADOW_STEP)
    assert {answer.etas[0].model for answer in answers} == {"eta@1"}
    pairs = evidence.pairs
    assert pairs
    assert 0 < pairs.requests == pairs.trips == pairs.timed == evidence.samples <= REQUESTS
    assert pairs.diff_sum == pytest.approx(20.0 * pairs.trips)
    assert pairs.only_shadow_failed == 0
