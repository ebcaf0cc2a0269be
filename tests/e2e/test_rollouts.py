"""Rollouts in the whole stack, through the front and with real traffic: begun, killed, taken back, finished."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from adapters.valkey import free_port
from pipelines import rollouts
from pipelines.stack import Stack
from pipelines.status import status
from pipelines.supervisor import members
from pipelines.up import down, up
from tests.e2e.running import TRIPS, Clients, fill, until
from tests.rollout_home import POLICY, rollout_home

pytest.importorskip("pipelines.evidence", reason="the controller needs a source of evidence")
pytestmark = pytest.mark.e2e

REACH_S = 5.0  # half a second on a machine at leisure: tests/pipelines/test_controller.py measures it


@dataclass(frozen=True)
class Seen:
    """One answer; times are `time.monotonic` seconds."""

    asked_at: float
    status: int
    model: str = ""
    reason: str = ""


class Traffic(Clients):
    """They remember every answer."""

    def __init__(self, url: str) -> None:
        super().__init__(pause_s=0.01)
        self._url = url
        self.seen: list[Seen] = []

    def ask(self, client: httpx.Client) -> None:
        """See Clients."""
        asked_at = time.monotonic()
        answer = client.post(f"{self._url}/v1/eta", json=TRIPS)
        eta = answer.json()["etas"][0] if answer.status_code == 200 else {}
        self.seen.append(Seen(asked_at, answer.status_code, eta.get("model", ""), eta.get("reason", "")))


@dataclass
class Home:
    """A stack with three versions, and an admin's token."""

    path: Path
    url: str
    token: str

    def ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """One request of the admin."""
        headers = {"Authorization": f"Bearer {self.token}"} | kwargs.pop("headers", {})
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=30, **kwargs)

    def start(self, version: int) -> str:
        """Begin a rollout over HTTP; returns its id."""
        begun = self.ask("POST", "/v1/rollouts", json={"version": version, "policy": yaml.safe_load(POLICY)})
        assert begun.status_code == 201, begun.text
        name: str = begun.json()["id"]
        return name

    def of_canary(self) -> tuple[Any, ...]:
        """Arm, model and seconds that a tester gets; the status where the replica does not know the canary yet."""
        answer = self.ask("POST", "/v1/eta", json=TRIPS, headers={"X-Tandem-Arm": "canary"})
        if answer.status_code != 200:
            return (answer.status_code,)
        eta = answer.json()["etas"][0]
        return eta["arm"], eta["model"], eta["eta_s"]

    def phase(self, name: str) -> str:
        """Where a rollout stands, as anybody on this machine may read."""
        answer = httpx.get(f"{self.url}/v1/rollouts/{name}", timeout=30)
        return str(answer.json()["phase"]) if answer.status_code == 200 else str(answer.status_code)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A stack of its own, taken down whatever happens."""
    path = tmp_path_factory.mktemp("home")
    rollout_home(path, versions=3)
    fill(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_PORT", str(free_port()))
        patch.setenv("TANDEM_GRPC_PORT", str(free_port()))
        for name in ("FEATURE_DEADLINE_MS", "QUEUE_MS"):  # a busy machine is not what is tested
            patch.setenv(f"TANDEM_{name}", "1000")
        try:
            url = up(path, progress=False)["url"]
            yield Home(path, url, rollouts.create_token(path, "ada", role="admin", days=1)["token"])
        finally:
            down(path)
            assert list(members(Stack(path).id)) == []


def reached(traffic: Traffic, act: Callable[[], object], there: Callable[[Seen], bool]) -> float:
    """Act, and return the seconds from then to the last answer, of the 10 s after it, that is not as it should be."""
    began = time.monotonic()
    act()
    until(lambda: time.monotonic() > began + 2 * REACH_S, "time to pass")
    late = [seen.asked_at - began for seen in traffic.seen if seen.asked_at > began and not there(seen)]
    assert any(seen.asked_at > began + REACH_S for seen in traffic.seen)
    return max(late, default=0.0)


def test_a_canary_an_override_and_a_rollback(home: Home) -> None:
    """A tester sees the candidate; soon after the rollback nobody does, on no replica."""
    with Traffic(home.url) as traffic:
        name = home.start(2)
        until(lambda: home.phase(name) == "Canary", "the canary")
        assert home.ask("POST", f"/v1/rollouts/{name}/pause").json()["phase"] == "Paused"
        until(lambda: any(seen.model == "eta@2" for seen in traffic.seen), "an answer of the candidate")
        until(lambda: home.of_canary() == ("canary", "eta@2", 602.0), "a canary on every replica that is asked")
        unknown = httpx.post(f"{home.url}/v1/eta", json=TRIPS, headers={"X-Tandem-Arm": "canary"}, timeout=10)
        assert unknown.status_code == 401
        took = reached(
            traffic,
            lambda: home.ask("POST", f"/v1/rollouts/{name}/rollback", json={"reason": "seen enough"}),
            lambda seen: seen.model == "eta@1",
        )
    assert took < REACH_S
    assert home.phase(name) == "RolledBack"
    assert {seen.status for seen in traffic.seen} == {200}


def test_the_kill_switch(home: Home) -> None:
    """All traffic to the heuristic, and back."""

    def switch(to: str) -> None:
        """As an operator types it."""
        rollouts.set_flag(home.path, "kill_switch", on=to == "on", reason="incident 7")

    with Traffic(home.url) as traffic:
        assert reached(traffic, lambda: switch("on"), lambda seen: seen.reason == "kill_switch") < REACH_S
        assert reached(traffic, lambda: switch("off"), lambda seen: seen.reason == "") < REACH_S
    assert {seen.status for seen in traffic.seen} == {200}


def test_a_good_candidate_reaches_champion_though_the_controller_is_killed(home: Home) -> None:
    """SIGKILL in the canary: the supervisor starts it again, it goes on from there, and nobody's request fails."""

    def controller() -> int | None:
        pid: int | None = status(home.path)["components"]["rollouts"]["pid"]
        return pid

    with Traffic(home.url) as traffic:
        name = home.start(3)
        until(lambda: home.phase(name) == "Canary", "the canary")
        before = controller()
        assert before
        os.kill(before, 9)
        until(lambda: controller() not in (None, before), "a new controller")
        until(lambda: home.phase(name) == "Succeeded", "its success")
        until(lambda: traffic.seen[-1].model == "eta@3", "the new champion")
    assert {seen.status for seen in traffic.seen} == {200}
    journal = rollouts.history(home.path, name=name)["journal"]
    assert [entry["action"] for entry in journal] == ["start", "Shadow", "Canary", "Canary", "Promoting", "Succeeded"]
    assert rollouts.status(home.path)["champion"] == 3
