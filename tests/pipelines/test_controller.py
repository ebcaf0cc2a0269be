"""The rollouts' process: one a home, killed and gone on with, and a rollback that every replica follows at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from adapters.ledger import Ledger
from adapters.state import State
from contracts.clock import SystemClock
from contracts.errors import Unavailable
from contracts.roles import Actor
from contracts.routes import RouteTable
from model_registry.admin import Admin
from pipelines import controller
from pipelines.rollout_store import opened, published
from serving.admin_api import AdminApi
from serving.listener import Listener, admin_path
from serving.replica import Replica, compose
from serving.settings import Settings
from tests.rollout_home import POLICY, rollout_home

OLGA = Actor("olga", "admin")
PATIENCE_S = 60.0
FOLLOWED_S = 5.0  # on any machine; what it takes at leisure is printed, and stands in docs/rollouts.md


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a champion and three more versions."""
    return rollout_home(tmp_path_factory.mktemp("home"), versions=4)


@pytest.fixture
def admin(settings: Settings) -> Iterator[Admin]:
    """The desk of this process, over the home's own database and registry."""
    with opened(settings) as (ledger, state):
        yield Admin(ledger, state, published(settings), SystemClock())


def begun(home: Path, state_url: str = "") -> subprocess.Popen[str]:
    """A controller's process, over its home's database or another's."""
    command = [sys.executable, "-m", "tests.pipelines.controlled_home", str(home), state_url]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for it, not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_killed_controller_is_gone_on_with(settings: Settings, admin: Admin) -> None:
    """SIGKILL in the canary: the next process has the lease at once, keeps the step's clock, and leaves one history."""
    process = begun(settings.home)
    try:
        until(lambda: admin.controller() is not None, "a controller")
        holder, before = admin.controller(), len(admin.history(1000)["journal"])
        name = admin.start(2, OLGA, document=POLICY)["id"]
        until(lambda: admin.rollout(name)["phase"] == "Canary", "the canary")
        process.kill()
        process.wait()
        held = admin.rollout(name)
        process = begun(settings.home)
        until(lambda: admin.rollout(name)["revision"] > held["revision"], "its next look")
        looked = admin.rollout(name)
        assert admin.controller() == holder
        assert looked["step"] != held["step"] or looked["since"] == held["since"]
        until(lambda: not admin.rollout(name)["active"], "the end")
    finally:
        process.terminate()
        said = process.communicate()[1]
    assert process.returncode == 0, said
    journal = admin.history(1000)["journal"][before:]
    assert [entry["action"] for entry in journal] == ["start", "Shadow", "Canary", "Canary", "Promoting", "Succeeded"]
    assert admin.status("eta")["champion"] == 2
    assert published(settings).champion("eta") == 2
    assert admin.controller() is None  # the lease was handed back


def test_a_second_process_of_a_home_is_refused(settings: Settings, admin: Admin) -> None:
    """It says so and ends; the first answers the admin API on its socket meanwhile, which only its owner may use."""
    process = begun(settings.home)
    try:
        until(lambda: admin.controller() is not None, "a controller")
        second = begun(settings.home)
        assert "runs already" in second.communicate()[1]
        assert second.returncode == 1
        socket = admin_path(settings.home)
        assert socket.stat().st_mode & 0o777 == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://localhost") as client:
            assert client.get("/v1/rollouts").status_code == 401  # nobody says who asks
            answer = client.get("/v1/rollouts", headers={"x-tandem-peer": "127.0.0.1"})
            known = [rollout["id"] for rollout in admin.rollouts()["rollouts"]]
            assert [rollout["id"] for rollout in answer.json()["rollouts"]] == known
    finally:
        process.terminate()
        process.communicate()


def test_of_two_homes_on_one_database_one_acts(settings: Settings, admin: Admin, tmp_path: Path) -> None:
    """Started at once, one has the lease and makes each step; killed, the other goes on when the lease has run out."""
    for shared in ("artifacts", "mlartifacts", "mlflow.db"):
        (tmp_path / shared).symlink_to(settings.home / shared)
    processes = {settings.home: begun(settings.home), tmp_path: begun(tmp_path, settings.state)}
    try:
        until(lambda: admin.controller() is not None, "a controller")
        holder = admin.controller()
        candidate = next(version for version in (2, 3) if version != admin.status("eta")["champion"])
        name = admin.start(candidate, OLGA, document=POLICY)["id"]
        until(lambda: admin.rollout(name)["phase"] == "Canary", "the canary")
        assert admin.controller() == holder
        (first,) = [home for home in processes if holder and holder.endswith(f":{home.resolve()}")]
        processes[first].kill()
        until(lambda: not admin.rollout(name)["active"], "the end")
        assert admin.controller() not in (None, holder)
    finally:
        for process in processes.values():
            process.terminate()
            process.communicate()
    journal = admin.rollout(name)["journal"]
    assert [entry["action"] for entry in journal] == ["start", "Shadow", "Canary", "Canary", "Promoting", "Succeeded"]


def test_a_process_whose_admin_api_is_gone_ends(admin: Admin, tmp_path: Path) -> None:
    """The supervisor then starts another; looks that fail are no reason to end."""
    ticks: list[str] = []

    class Failing:
        def tick(self, model: str) -> bool:
            ticks.append(model)
            raise ZeroDivisionError

    listener = Listener(AdminApi(admin), admin_path(tmp_path), ())
    listener.start()
    stop = threading.Event()
    thread = threading.Thread(target=controller._follow, args=(Failing(), listener, stop))
    thread.start()
    until(lambda: len(ticks) > 1, "a second look")
    stop.set()
    thread.join()
    listener.stop(1.0)
    with pytest.raises(Unavailable, match=r"listener unavailable \(stopped\)"):
        controller._follow(Failing(), listener, threading.Event())  # type: ignore[arg-type]


def test_without_its_sockets_the_process_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Status 1 and the variable."""
    monkeypatch.setattr(controller.signal, "signal", lambda *_: None)  # pytest keeps its own
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.delenv("TANDEM_SOCKETS", raising=False)
    mask = os.umask(0o077)
    try:
        assert controller.main() == 1
    finally:
        os.umask(mask)
    assert "TANDEM_SOCKETS: is not set" in caplog.text


def test_a_rollback_and_the_kill_switch_reach_every_replica_within_a_second(settings: Settings, admin: Admin) -> None:
    """Two replicas over the real database and artifacts, by the default settings: each of several times."""
    replicas = [compose(settings) for _ in range(2)]
    state = State(settings.state)
    slowest: dict[str, float] = {}

    async def reach(what: str, act: Callable[[], object], there: Callable[[RouteTable], bool]) -> None:
        began = time.perf_counter()
        await asyncio.to_thread(act)
        while not all(there(replica.routing.table) for replica in replicas):
            await asyncio.sleep(0.005)
            assert time.perf_counter() - began < PATIENCE_S, what
        slowest[what] = max(slowest.get(what, 0.0), time.perf_counter() - began)

    def canary(version: int) -> None:
        """Traffic for a candidate, as a controller would give it."""
        table = state.route_table("eta")
        state.put_route_table(
            RouteTable("eta", table.generation + 1, table.champion, version, candidate_percent=5.0, salt="eta-9")
        )

    def switch(*, on: bool) -> None:
        """The kill switch."""
        admin.set_flag("kill_switch", OLGA, "incident 7", on=on)

    async def all_of_it() -> None:
        followers = [asyncio.create_task(replica.follow_routes()) for replica in replicas]
        one, other = [version for version in (2, 3, 4) if version != admin.status("eta")["champion"]][:2]
        for candidate in (one, other, one):
            name = admin.start(candidate, OLGA, document=POLICY)["id"]
            await reach("canary", lambda candidate=candidate: canary(candidate), lambda t: t.candidate is not None)
            await reach("rollback", lambda name=name: admin.act(name, "rollback", OLGA), lambda t: t.candidate is None)
            await reach("on", partial(switch, on=True), lambda t: t.fallback_only)
            await reach("off", partial(switch, on=False), lambda t: not t.fallback_only)
        for follower in followers:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower

    try:
        asyncio.run(all_of_it())
    finally:
        state.close()
        close(replicas)
    print(slowest)  # noqa: T201 - for docs/rollouts.md
    assert slowest["rollback"] < FOLLOWED_S
    assert slowest["on"] < FOLLOWED_S
    assert slowest["off"] < FOLLOWED_S


def close(replicas: list[Replica]) -> None:
    """Let go of files and threads."""
    for replica in replicas:
        replica.routes_thread.shutdown()
        replica.state.close()


def test_a_stopped_controller_hands_over(settings: Settings, admin: Admin) -> None:
    """SIGTERM gives the lease back, so that another home's controller need not wait for its end."""
    process = begun(settings.home)
    until(lambda: admin.controller() is not None, "a controller")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate()
    assert (process.returncode, admin.controller()) == (0, None)
    other = Ledger(settings.state)
    assert other.lease("controller", "another", time.time(), 0.001)
    other.close()
