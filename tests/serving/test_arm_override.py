"""The arm that a tester chooses: with a token, seen in the answer, and no evidence about the arms."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.ledger import Ledger
from adapters.tokens import Tokens
from contracts.roles import Actor
from contracts.routes import RouteTable
from serving.arm_override import ArmOverride
from serving.artifacts import load_artifact
from tests.fakes import NOW, SCHEMA, tiny_artifact, tiny_onnx
from tests.serving.conftest import Replica

TRIPS = {"trips": [{"pickup": {"zone": "1"}, "dropoff": {"zone": "2"}}], "unit": "rider"}


@pytest.fixture
def token(replica: Replica, tmp_path: Path) -> str:
    """A viewer's token, for a replica that also holds version 2 as a canary that nobody gets."""
    artifact = tiny_artifact(tmp_path / "eta@2", version=2, model=tiny_onnx(width=len(SCHEMA.features)))
    replica.routing._load = lambda _version: load_artifact(artifact, schema=SCHEMA)
    table = RouteTable("eta", 2, champion=1, candidate=2, shadow=2, shadow_percent=100.0, salt="eta-1")
    assert replica.routing.offer(table)
    tokens = Tokens(Ledger(f"sqlite:///{tmp_path / 'state.db'}"))
    replica.api.override = ArmOverride(lambda text: tokens.actor(text, replica.clock.now()))
    return tokens.create("tess", "viewer", 1, Actor("ada", "admin"), NOW)


def ask(replica: Replica, path: str = "/v1/eta", body: Any = None, **headers: str) -> Any:
    """One request."""
    return asyncio.run(replica.request("POST", path, json=body or TRIPS, headers=headers))


def chosen(arm: str, token: str) -> dict[str, str]:
    """The headers."""
    return {"X-Tandem-Arm": arm, "Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("arm", "model"), [("canary", "eta@2"), ("champion", "eta@1"), ("shadow", "eta@2")])
def test_a_tester_gets_the_arm(replica: Replica, token: str, arm: str, model: str) -> None:
    """Whatever the split says, and the answer says it; the log has no unit, and no shadow runs."""
    eta = ask(replica, **chosen(arm, token)).json()["etas"][0]
    assert (eta["arm"], eta["model"], eta["source"]) == (arm, model, "model")
    assert [(record.arm, record.unit) for record in replica.log] == [(arm, "")]
    assert not replica.shadows._waiting
    assert ask(replica).json()["etas"][0]["arm"] == "champion"
    assert replica.log[-1].unit == "rider"
    assert len(replica.shadows._waiting) == 1


def test_without_a_good_token_the_arm_is_refused(replica: Replica, token: str) -> None:
    """No token, a wrong one, another scheme and an expired one are each a 401 that says so, and nothing is logged."""
    for authorization, words in (
        (None, "needs a token"),
        (f"Bearer {token}x", "unknown, expired or revoked"),
        ("Bearer tdm.nobody.x", "unknown, expired or revoked"),
        ("Basic dGVzczp4", "must be Bearer"),
    ):
        headers = {"X-Tandem-Arm": "canary"} | ({"Authorization": authorization} if authorization else {})
        answer = ask(replica, **headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="tandem"')
        assert words in answer.json()["detail"]
    replica.clock.advance(86_400)
    assert ask(replica, **chosen("canary", token)).status_code == 401
    assert replica.log == []


def test_an_arm_that_is_not_there_is_named(replica: Replica, token: str) -> None:
    """A typing error is the header's, with the arms there are."""
    answer = ask(replica, **chosen("canarry", token))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "X-Tandem-Arm")
    assert "there is champion, canary, shadow" in answer.json()["detail"]


def test_tensors_too(replica: Replica, token: str) -> None:
    """Open Inference answers with the arm's version; a path that names a version leaves nothing to choose."""
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [500.0, 600.0, 5.0]}
    answer = ask(replica, "/v2/models/eta/infer", {"inputs": [tensor]}, **chosen("canary", token))
    assert (answer.status_code, answer.json()["model_version"]) == (200, "2")
    assert replica.log[-1].arm == "canary"
    both = ask(replica, "/v2/models/eta/versions/1/infer", {"inputs": [tensor]}, **chosen("canary", token))
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "X-Tandem-Arm")
    assert "error" in both.json()
    assert ask(replica, "/v2/models/eta/infer", {"inputs": [tensor]}, **{"X-Tandem-Arm": "canary"}).status_code == 401


def test_a_token_is_not_looked_at_without_the_header(replica: Replica, token: str) -> None:
    """The request path of everybody else asks no database."""
    replica.api.override = ArmOverride(lambda _token: 1 / 0)  # type: ignore[arg-type,return-value]
    assert ask(replica, Authorization=f"Bearer {token}").status_code == 200
