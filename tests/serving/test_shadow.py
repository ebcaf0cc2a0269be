"""Arms side by side in a replica: the canary answers its share, the shadow runs unseen, both are logged."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from contracts.errors import Unavailable
from contracts.messages import EtaRequest, EtaResponse, Place, TripRequest
from contracts.routes import RouteTable
from serving.call import Call
from tests.serving.conftest import Replica

TRIP = TripRequest(pickup=Place(zone="1"), dropoff=Place(zone="2"), id="a")


def ask(replica: Replica, unit: str) -> EtaResponse:
    """One request of a unit."""

    async def answered() -> EtaResponse:
        answer = replica.eta.estimate(EtaRequest(trips=(TRIP,), unit=unit), Call())
        return answer if isinstance(answer, EtaResponse) else await answer

    return asyncio.run(answered())


def run_shadows(replica: Replica, turns: int = 4) -> None:
    """Give the shadow some turns of the loop."""

    async def turn() -> None:
        follower = asyncio.create_task(replica.shadows.follow())
        for _ in range(turns):
            await asyncio.sleep(0)
        follower.cancel()

    asyncio.run(turn())


def test_the_canary_answers_its_share_and_says_so(replica: Replica) -> None:
    """An arm sticks to its unit, stands in the answer, and in the log with the generation."""
    table = RouteTable(model="eta", generation=2, champion=1, candidate=2, candidate_percent=30, salt="s")
    assert replica.routing.offer(table)
    arms = {f"rider-{i}": ask(replica, f"rider-{i}").etas[0].arm for i in range(300)}
    assert set(arms.values()) == {"champion", "canary"}
    assert 60 < sum(arm == "canary" for arm in arms.values()) < 120
    assert all(ask(replica, unit).etas[0].arm == arm for unit, arm in list(arms.items())[:20])
    logged = replica.log[0]
    assert (logged.unit, logged.arm, logged.generation, logged.kind) == ("rider-0", arms["rider-0"], 2, "eta")
    assert (logged.ids, logged.pickup, logged.dropoff) == (["a"], ["1"], ["2"])


def test_the_shadow_runs_on_the_same_vector(replica: Replica) -> None:
    """After the reply, by its own version, joined by the request's id; nothing of it is in the answer."""
    replica.routing.offer(RouteTable(model="eta", generation=2, champion=1, shadow=2, shadow_percent=100, salt="s"))
    answer = ask(replica, "rider")
    assert answer.etas[0].arm == "champion"
    assert [record.kind for record in replica.log] == ["eta"]
    run_shadows(replica)
    answered, shadow = replica.log
    assert (shadow.kind, shadow.arm, shadow.version) == ("shadow", "shadow", 1)  # the tiny artifact's own number
    assert (shadow.request_id, shadow.features) == (answer.request_id, answered.features)
    assert shadow.answers == answered.answers
    assert replica.shadows.ran == 1


def test_a_shadow_that_fails_harms_nobody(replica: Replica) -> None:
    """It is logged with a reason, and the next one runs."""
    replica.routing.offer(RouteTable(model="eta", generation=2, champion=1, shadow=2, shadow_percent=100, salt="s"))

    def fail(_matrix: Any) -> Any:
        raise RuntimeError("out of memory")

    replica.routing.loaded()["2"].onnx.run = fail  # type: ignore[method-assign]
    assert ask(replica, "rider").etas[0].source == "model"
    run_shadows(replica)
    assert replica.shadows.failed == 1
    shadow = replica.log[1]
    assert (shadow.reason, shadow.fallback) == ("model_error", b"\1")
    assert np.isnan(np.frombuffer(shadow.answers, dtype="<f4")).all()


def test_a_shadow_that_answers_nonsense_has_failed(replica: Replica) -> None:
    """By the rule that keeps such answers from callers; what it said is in the log."""
    replica.routing.offer(RouteTable(model="eta", generation=2, champion=1, shadow=2, shadow_percent=100, salt="s"))
    nonsense = tuple(np.array([seconds], dtype=np.float32) for seconds in (-5.0, -6.0, np.inf))
    replica.routing.loaded()["2"].onnx.run = lambda _matrix: nonsense  # type: ignore[method-assign, assignment, return-value]
    assert ask(replica, "rider").etas[0].source == "model"
    run_shadows(replica)
    shadow = replica.log[1]
    assert (shadow.reason, shadow.fallback) == ("model_output_invalid", b"\1")
    assert np.frombuffer(shadow.answers, dtype="<f4").tolist() == [-5.0, -6.0, np.inf]
    assert (replica.shadows.ran, replica.shadows.failed) == (0, 1)


@pytest.mark.parametrize("when", ["offered", "waiting"])
def test_the_shadow_is_shed_first(replica: Replica, when: str) -> None:
    """Under load it is not taken, and what was taken is dropped."""
    replica.routing.offer(RouteTable(model="eta", generation=2, champion=1, shadow=2, shadow_percent=100, salt="s"))
    if when == "offered":
        replica.admission.in_flight = int(replica.admission.limit)
        ask(replica, "rider")
    else:
        ask(replica, "rider")
        replica.admission.in_flight = int(replica.admission.limit)
        run_shadows(replica)
    assert (replica.shadows.shed, replica.shadows.ran) == (1, 0)


def test_an_answer_from_stale_rows_says_so(replica: Replica) -> None:
    """The model answers when the store is gone and rows past their time stand in, and the answer is a degraded one."""
    ask(replica, "rider")
    replica.clock.advance(60)
    replica.store.error = Unavailable("online store", "features_unavailable", "gone")
    eta = ask(replica, "rider").etas[0]
    assert (eta.source, eta.reason) == ("model", "features_stale")
    assert replica.log[-1].reason == "features_stale"
