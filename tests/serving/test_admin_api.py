"""The admin API seen from outside, over the real desk and ledger: who may what, and what is said to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.roles import Actor
from model_registry.admin import Admin
from serving.admin_api import PEER, AdminApi
from serving.front import ADMIN_PATHS
from serving.openapi import openapi_document
from tests.model_registry.world import BAD_SCHEMA, World, small_policy
from tests.serving.conftest import Straight

ADA = Actor("ada", "admin")


@dataclass
class Office:
    """The application, and a token of each role."""

    api: AdminApi
    world: World
    tokens: dict[str, str]
    peer: str = "127.0.0.1"
    host: str = "localhost:8000"

    def ask(self, method: str, path: str, role: str | None = None, **kwargs: Any) -> httpx.Response:
        """One request through the front from `peer`, with the token of a role."""

        async def request() -> httpx.Response:
            async with httpx.AsyncClient(transport=Straight(self.api), base_url=f"http://{self.host}") as client:
                headers = {PEER.decode(): self.peer, **kwargs.pop("headers", {})}
                if role:
                    headers["Authorization"] = f"Bearer {self.tokens[role]}"
                return await client.request(method, path, headers=headers, **kwargs)

        return asyncio.run(request())


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Version 1 serves, and nothing is under way."""
    world = World(tmp_path)
    admin = Admin(world.ledger, world.state, world.shelf, world.clock)
    roles = ("viewer", "operator", "admin")
    tokens = {role: admin.create_token(f"{role}-1", role, 1, ADA)["token"] for role in roles}
    yield Office(AdminApi(admin), world, tokens)
    world.close()


def test_a_rollout_from_start_to_rollback(office: Office) -> None:
    """Begun, paused, taken back: each answer is the rollout, and the audit log has the token's name and the words."""
    begun = office.ask("POST", "/v1/rollouts", "operator", json={"version": 2, "reason": "better"})
    assert (begun.status_code, begun.headers["location"]) == (201, "/v1/rollouts/eta-1")
    assert (begun.json()["phase"], begun.json()["step"]) == ("Pending", "0 of 5")
    office.world.tick(2)
    shadow = office.ask("GET", "/v1/rollouts/eta-1").json()
    assert (shadow["phase"], shadow["shadow"]) == ("Shadow", 100.0)
    assert {"guardrail", "verdict", "failing_s", "reason"} == shadow["guardrails"][0].keys()
    paused = office.ask("POST", "/v1/rollouts/eta-1/pause", "operator", json={"reason": "lunch"})
    assert paused.json()["phase"] == "Paused"
    ended = office.ask("POST", "/v1/rollouts/eta-1/rollback", "operator")
    assert (ended.status_code, ended.json()["phase"]) == (200, "RolledBack")
    told = [(e["actor"], e["action"], e["reason"]) for e in office.ask("GET", "/v1/rollouts/eta-1").json()["journal"]]
    assert told[0] == ("operator-1", "start", "version 2: better")
    assert ("operator-1", "pause", "lunch") in told
    assert ("operator-1", "rollback", "no reason given") in told
    assert [rollout["id"] for rollout in office.ask("GET", "/v1/rollouts").json()["rollouts"]] == ["eta-1"]


def test_a_second_start_is_told_of_the_first(office: Office) -> None:
    """A conflict that names the running one, unless it is to be replaced."""
    office.ask("POST", "/v1/rollouts", "operator", json={"version": 2})
    again = office.ask("POST", "/v1/rollouts", "operator", json={"version": 3})
    assert (again.status_code, "rollout eta-1 is Pending" in again.json()["detail"]) == (409, True)
    instead = office.ask("POST", "/v1/rollouts", "operator", json={"version": 3, "replace": True})
    assert (instead.status_code, instead.json()["id"]) == (201, "eta-2")
    assert office.ask("GET", "/v1/rollouts/eta-1").json()["phase"] == "Aborted"


def test_a_version_that_must_not_serve_is_a_conflict(office: Office) -> None:
    """With the check that it fails; nothing is begun."""
    office.world.shelf.artifacts[2] = BAD_SCHEMA
    refused = office.ask("POST", "/v1/rollouts", "operator", json={"version": 2})
    assert (refused.status_code, "refused by the schema check" in refused.json()["detail"]) == (409, True)
    assert office.ask("GET", "/v1/rollouts").json() == {"rollouts": []}


def test_flags_reach_the_route_table_before_the_answer(office: Office) -> None:
    """By an admin, and with a reason."""
    assert office.ask("GET", "/v1/flags").json()["flags"] == {
        "kill_switch": False,
        "freeze": False,
        "enabled.eta": True,
    }
    wish = {"name": "kill_switch", "on": True, "reason": "incident 7"}
    assert office.ask("PUT", "/v1/flags", "operator", json=wish).status_code == 403
    assert not office.world.table().fallback_only
    done = office.ask("PUT", "/v1/flags", "admin", json=wish)
    assert (done.status_code, done.json()["flags"]["kill_switch"]) == (200, True)
    assert office.world.table().fallback_only
    assert office.world.journal()[-1].entry.actor == "admin-1"


def test_tokens_are_the_admins(office: Office) -> None:
    """Made, used and ended over HTTP; nobody else makes, ends or lists them."""
    wish = {"name": "bot", "role": "operator", "days": 1}
    for role, status in ((None, 401), ("operator", 403)):
        assert office.ask("POST", "/v1/tokens", role, json=wish).status_code == status
        assert office.ask("DELETE", "/v1/tokens/viewer-1", role).status_code == status
        assert office.ask("GET", "/v1/tokens", role).status_code == status
    made = office.ask("POST", "/v1/tokens", "admin", json=wish)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/tokens/bot")
    office.tokens["bot"] = made.json()["token"]
    assert office.ask("POST", "/v1/rollouts", "bot", json={"version": 2}).status_code == 201
    listed = office.ask("GET", "/v1/tokens", "admin")
    assert [token["name"] for token in listed.json()["tokens"]] == ["admin-1", "bot", "operator-1", "viewer-1"]
    assert office.tokens["bot"].rpartition(".")[2] not in listed.text
    assert office.ask("POST", "/v1/tokens", "admin", json=wish).status_code == 422
    assert office.ask("DELETE", "/v1/tokens/bot", "admin").json() == {"name": "bot", "revoked": True}
    assert office.ask("POST", "/v1/rollouts/eta-1/abort", "bot").status_code == 401


def test_a_freeze_is_a_conflict_for_who_wants_on(office: Office) -> None:
    """And says why."""
    office.ask("PUT", "/v1/flags", "admin", json={"name": "freeze", "on": True, "reason": "new year"})
    refused = office.ask("POST", "/v1/rollouts", "operator", json={"version": 2})
    assert (refused.status_code, refused.json()["detail"]) == (409, "start: frozen by a flag")


@pytest.mark.parametrize("path", ["/v1/rollouts", "/v1/flags"])
def test_who_may_read(office: Office, path: str) -> None:
    """Anybody on this machine; from elsewhere, through a proxy or by another name, who has a token."""
    assert office.ask("GET", path).status_code == 200
    assert office.ask("HEAD", path).content == b""
    for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
        assert office.ask("GET", path, headers={header: "for=10.1.1.1"}).status_code == 401
    assert office.ask("GET", path, headers={"Authorization": "Bearer tdm.eve.x"}).status_code == 401
    office.host = "rebound.example:8000"
    assert office.ask("GET", path).status_code == 401
    office.host = "[::1]:8000"
    assert office.ask("GET", path).status_code == 200
    for peer in ("10.1.1.1", "::ffff:10.1.1.1", "junk", ""):
        office.peer = peer
        refused = office.ask("GET", path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="tandem"')
        assert office.ask("GET", path, "viewer").status_code == 200


def test_acting_needs_a_token_everywhere(office: Office) -> None:
    """Being on the machine is not enough, nor is a viewer's token; nothing has happened after."""
    for role, status in ((None, 401), ("viewer", 403)):
        for method, path, body in (
            ("POST", "/v1/rollouts", {"version": 2}),
            ("PUT", "/v1/flags", {"name": "freeze", "on": True, "reason": "x"}),
        ):
            answer = office.ask(method, path, role, json=body)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    office.world.start()
    for verb in ("approve", "pause", "resume", "abort", "promote", "rollback"):
        assert office.ask("POST", f"/v1/rollouts/eta-1/{verb}").status_code == 401
        assert office.ask("POST", f"/v1/rollouts/eta-1/{verb}", "viewer").status_code == 403
    assert [record.entry.action for record in office.world.journal()] == ["token"] * 3 + ["start"]


def test_a_policy_may_come_along(office: Office) -> None:
    """As JSON, under the rules of the file; a wrong word in it names the place."""
    policy = {
        "model": "eta",
        "interval": "5s",
        "steps": [{"canary": {"weight": 10, "for": "1m", "min_samples": 10}}],
        "guardrails": [{"metric": "error_rate", "max": 0.1, "for": "1m"}],
        "progress_deadline": "1h",
    }
    wrong = office.ask("POST", "/v1/rollouts", "operator", json={"version": 2, "policy": policy | {"speed": 3}})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "policy")
    assert "speed" in wrong.json()["detail"]
    begun = office.ask("POST", "/v1/rollouts", "operator", json={"version": 2, "policy": policy})
    assert (begun.status_code, begun.json()["step"]) == (201, "0 of 1")


DEEP = "[" * 3000 + "]" * 3000


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/v1/rollouts", "{}", 422, "version"),
        ("POST", "/v1/rollouts", "", 422, "version"),
        ("POST", "/v1/rollouts", "{", 400, None),
        ("POST", "/v1/rollouts", '{"version":0}', 422, "version"),
        ("POST", "/v1/rollouts", '{"version":true}', 422, "version"),
        ("POST", "/v1/rollouts", '{"version":1e400}', 422, "version"),
        ("POST", "/v1/rollouts", '{"version":2,"wait":1}', 422, "wait"),
        ("POST", "/v1/rollouts", '{"version":2,"reason":""}', 422, "reason"),
        ("POST", "/v1/rollouts", '{"version":2,"reason":"a\\u0000b"}', 422, "reason"),
        ("POST", "/v1/rollouts", '{"version":2,"policy":"x"}', 422, "policy"),
        ("POST", "/v1/rollouts", '{"version":2,"policy":' + DEEP + "}", 400, None),
        ("POST", "/v1/rollouts", '{"version":2,"policy":"' + "x" * 20_000 + '"}', 422, "policy"),
        ("POST", "/v1/rollouts", '{"version":9}', 404, None),
        ("POST", "/v1/rollouts", '{"version":1}', 409, None),
        ("PUT", "/v1/flags", '{"name":"freeze","on":"yes","reason":"x"}', 422, "on"),
        ("PUT", "/v1/flags", '{"name":"freeze","on":true}', 422, "reason"),
        ("PUT", "/v1/flags", '{"name":"typo","on":true,"reason":"x"}', 422, "name"),
        ("PUT", "/v1/flags", '{"name":"enabled.other","on":false,"reason":"x"}', 422, "name"),
        ("POST", "/v1/tokens", '{"name":"a.b","role":"viewer"}', 422, "name"),
        ("POST", "/v1/tokens", '{"name":"eve","role":"god"}', 422, "role"),
        ("POST", "/v1/tokens", '{"name":"eve","role":"viewer","days":3651}', 422, "days"),
        ("DELETE", "/v1/tokens/eve", "", 404, None),
        ("DELETE", "/v1/tokens/%00", "", 404, None),
        ("POST", "/v1/rollouts/eta-1/pause", "", 404, None),
        ("POST", "/v1/rollouts/eta-1/fly", "", 404, None),
        ("GET", "/v1/rollouts/eta-1", "", 404, None),
        ("GET", "/v1/rollouts/..%2f..", "", 404, None),
        ("DELETE", "/v1/rollouts", "", 405, None),
        ("POST", "/v1/flags", "", 405, None),
        ("OPTIONS", "/v1/flags", "", 204, None),
    ],
)
def test_what_is_wrong_is_named(  # noqa: PLR0917 - a table's columns
    office: Office, method: str, path: str, body: str, status: int, field: str | None
) -> None:
    """A problem document with the field, and never a 5xx."""
    headers = {"Content-Type": "application/json"}
    answer = office.ask(method, path, "admin", content=body.encode(), headers=headers)
    assert answer.status_code == status, answer.text
    if field:
        assert answer.json()["errors"][0]["field"] == field
    if status in (204, 405):
        assert "OPTIONS" in answer.headers["allow"]
    assert len(answer.content) < 2000


def test_the_document_has_what_is_served(office: Office) -> None:
    """Every path and method of the admin API in the OpenAPI document is routed, and its example is understood."""
    paths = openapi_document()["paths"]
    found = {path: paths[path] for path in paths if path.startswith(ADMIN_PATHS)}
    assert len(found) == 6
    for path, methods in found.items():
        for method in methods.keys() & {"get", "post", "put", "delete"}:
            content = methods[method].get("requestBody", {}).get("content", {})
            example = content.get("application/json", {}).get("example")
            where = path.replace("{id}", "eta-1").replace("{verb}", "pause").replace("{name}", "eve")
            answer = office.ask(method.upper(), where, "admin", json=example)
            assert str(answer.status_code) in methods[method]["responses"], answer.text
            assert answer.status_code in (200, 201, 404)


def test_a_body_that_is_no_json_is_refused_by_its_type(office: Office) -> None:
    """What a form sends is not taken for JSON."""
    assert office.ask("POST", "/v1/rollouts", "operator", content=b"version=2").status_code == 415


def test_a_database_that_is_away_is_a_503(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a time to come again."""
    office.world.start(small_policy())
    office.world.shelf.down = True
    refused = office.ask("POST", "/v1/rollouts/eta-1/promote", "operator")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
