"""The use case: the model where it can, the heuristic with its reason where it can't."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import Unavailable
from contracts.messages import EtaRequest, EtaResponse, Place, TripRequest
from contracts.routes import RouteTable
from serving.artifacts import load_artifact
from serving.call import Call
from serving.eta import Reason
from tests.fakes import NOW, SCHEMA, constant_onnx, tiny_artifact
from tests.serving.conftest import Replica

TRIPS = EtaRequest(trips=(TripRequest(Place("1"), Place("2"), id="a"), TripRequest(Place("3"), Place("1"))))


def ask(replica: Replica, request: EtaRequest = TRIPS) -> EtaResponse:
    """One request."""

    async def answered() -> EtaResponse:
        answer = replica.eta.estimate(request, Call())
        return answer if isinstance(answer, EtaResponse) else await answer

    return asyncio.run(answered())


def break_model(replica: Replica, answer: Any) -> None:
    """Let the champion answer with `answer(rows)` from now on."""
    replica.routing.champion().onnx.run = lambda matrix: answer(len(matrix))  # type: ignore[method-assign]


def test_the_model_answers(replica: Replica) -> None:
    """With features there, every trip is the model's, in order, with ids, one read for all of them."""
    etas = ask(replica).etas
    assert [(eta.id, eta.model, eta.arm, eta.source) for eta in etas] == [
        ("a", "eta@1", "champion", "model"),
        ("1", "eta@1", "champion", "model"),
    ]
    assert etas[0].eta_s == pytest.approx(120 + 0.25 * 840, abs=1)
    assert etas[0].low_s < etas[0].eta_s < etas[0].high_s
    assert len(replica.store.reads) == 1


def test_a_store_that_is_gone(replica: Replica) -> None:
    """The heuristic answers: the pair's median where there is one, distance over speed where not."""
    replica.store.error = Unavailable("online store", "features_unavailable")
    etas = ask(replica).etas
    assert [(eta.source, eta.reason) for eta in etas] == [("fallback", Reason.FEATURES_UNAVAILABLE)] * 2
    assert etas[0].eta_s == 600.0
    assert (etas[0].low_s, etas[0].high_s) == (420.0, 900.0)


def test_a_store_that_hangs(replica: Replica) -> None:
    """The deadline ends the wait and is the reason."""
    replica.store.hangs = True
    assert {eta.reason for eta in ask(replica).etas} == {Reason.FEATURES_TIMEOUT}


def test_absent_features_are_the_models_business(replica: Replica) -> None:
    """A store that has the city alone leaves NaN for the rest, which the model was trained for."""
    replica.store.rows.clear()
    replica.store.put("city_live", "nyc", NOW - 5, 10.0)
    assert {eta.source for eta in ask(replica).etas} == {"model"}


def test_an_empty_store(replica: Replica) -> None:
    """A store that was never filled is a reason for the heuristic, although it answers."""
    replica.store.rows.clear()
    etas = ask(replica).etas
    assert [(eta.source, eta.reason) for eta in etas] == [("fallback", Reason.FEATURES_UNAVAILABLE)] * 2
    assert etas[0].eta_s == 600.0


def test_a_model_that_raises(replica: Replica) -> None:
    """Whatever it raises, the caller gets an estimate."""

    def fail(_: int) -> None:
        raise RuntimeError("out of memory")

    break_model(replica, fail)
    assert {eta.reason for eta in ask(replica).etas} == {Reason.MODEL_ERROR}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -5.0, 0.0, 1e9])
def test_an_absurd_answer_falls_back_alone(replica: Replica, bad: float) -> None:
    """Only the trip whose answer is absurd falls back."""

    def answer(rows: int) -> tuple[Any, Any, Any]:
        eta = np.full(rows, 300.0, dtype=np.float32)
        eta[0] = bad
        return eta, eta * np.float32(0.8), eta * np.float32(1.2)

    break_model(replica, answer)
    etas = ask(replica).etas
    assert [eta.source for eta in etas] == ["fallback", "model"]
    assert etas[0].reason == Reason.MODEL_OUTPUT
    assert etas[0].eta_s == 600.0


def test_the_kill_switch(replica: Replica) -> None:
    """A table that says so sends everything to the heuristic, and reads no features."""
    replica.routing.offer(RouteTable(model="eta", generation=2, champion=1, fallback_only=True))
    assert {eta.reason for eta in ask(replica).etas} == {Reason.KILL_SWITCH}
    assert replica.store.reads == []


def test_check_needs_a_sane_answer(replica: Replica) -> None:
    """Readiness is a real prediction."""
    asyncio.run(replica.eta.check())
    break_model(replica, lambda rows: (np.full(rows, np.nan),) * 3)
    with pytest.raises(Unavailable, match="eta@1"):
        asyncio.run(replica.eta.check())


def test_a_new_table_changes_the_answering_version(replica: Replica, tmp_path: Path) -> None:
    """A higher generation swaps the champion; an older one, or one that can't load, changes nothing."""
    artifact = tiny_artifact(tmp_path / "2", version=2, model=constant_onnx(len(SCHEMA.features), 500.0))
    bad = tiny_artifact(tmp_path / "3", version=3, nudge_s=1.0)
    replica.routing._load = lambda version: load_artifact({2: artifact, 3: bad}[version], schema=SCHEMA)
    assert replica.routing.offer(RouteTable(model="eta", generation=2, champion=2))
    assert not replica.routing.offer(RouteTable(model="eta", generation=1, champion=1))
    assert not replica.routing.offer(RouteTable(model="eta", generation=3, champion=3))
    assert [(eta.model, eta.eta_s) for eta in ask(replica).etas] == [("eta@2", 500.0)] * 2
    assert replica.routing.table.generation == 2


def test_request_ids_are_known_and_times_kept(replica: Replica) -> None:
    """The answer's id is one that outcomes will know."""
    assert replica.api._outcomes._request_ids.issued(ask(replica).request_id)  # type: ignore[attr-defined]
    assert replica.clock.now() == NOW
