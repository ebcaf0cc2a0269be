"""A hundred windows whose replicas are killed: each rider gets one driver, no driver two riders, nobody is lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.rides import Rides
from adapters.state import State

ROOT = Path(__file__).parents[2]
REPLICAS = 3
DRIVERS = 5  # hardly more than riders: windows are worth their time
RIDERS = 4
WINDOWS = 100
PATIENCE_S = 60.0
Row = tuple[str, str, float, float]


@dataclass
class Fleet:
    """Replicas over one database; one that is killed is started again."""

    folder: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: int = 0

    @property
    def database(self) -> Path:
        """Where the rides are."""
        return self.folder / "state.db"

    def start(self, slot: int) -> None:
        """Begin a replica; it answers when its socket is there."""
        own = self.folder / f"{slot}-{time.monotonic_ns()}"
        own.mkdir()
        self.socket(slot).unlink(missing_ok=True)
        words = [str(own), f"sqlite:///{self.database}", str(self.socket(slot)), str(DRIVERS)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(Path(__file__).with_name("ride_replica.py")), *words]
        self.processes[slot] = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE)

    def socket(self, slot: int) -> Path:
        """Where a replica listens."""
        return self.folder / f"{slot}.sock"

    def kill(self, slot: int) -> None:
        """As a machine dies."""
        self.processes[slot].send_signal(signal.SIGKILL)
        self.processes[slot].wait()
        self.killed += 1
        self.start(slot)

    def ask(self, path: str, body: Any, rng: random.Random) -> httpx.Response:
        """Send to any replica, and again to any where it died: as the front does, with the same id."""
        until = time.monotonic() + PATIENCE_S
        while True:
            transport = httpx.HTTPTransport(uds=str(self.socket(rng.randrange(REPLICAS))))
            try:
                with httpx.Client(transport=transport, base_url="http://tandem", timeout=20.0) as client:
                    answer = client.post(path, json=body)
                if answer.status_code < 500:
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < until, f"{path} {body} was never answered"
            time.sleep(0.02)  # between two tries of a client


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Replicas that answer."""
    for store in (State, Rides):  # so that there is something to read from the first look on
        store(f"sqlite:///{tmp_path / 'state.db'}").close()
    fleet = Fleet(tmp_path)
    for slot in range(REPLICAS):
        fleet.start(slot)
    yield fleet
    for process in fleet.processes.values():
        process.kill()
        process.wait()


def test_a_hundred_windows_and_their_replicas_killed(fleet: Fleet) -> None:
    """Every other round of riders loses a replica while they wait; all of it is read back from the database."""
    rng, given, rounds = random.Random(7), dict[str, str](), 0
    with ThreadPoolExecutor(RIDERS + 1) as clients:
        while len({decided_at for _, _, decided_at, _ in _rows(fleet.database)}) < WINDOWS:
            names = [f"round{rounds}-{i}" for i in range(RIDERS)]
            asked = [clients.submit(_ride, fleet, name, random.Random(name)) for name in names]
            if rounds % 2 == 0:
                time.sleep(rng.random() * 0.1)  # riders are on their way into the database, or in a window
                clients.submit(fleet.kill, rng.randrange(REPLICAS)).result()
            rides = [future.result() for future in asked]
            given |= {ride["id"]: ride["driver"] for ride in rides}
            rounds += 1
            outcomes = [
                {"request_id": ride["request_id"], "id": ride["id"], "event": "completed", "actual_s": 60, "at": _now()}
                for ride in rides
            ]
            assert fleet.ask("/v1/outcomes", {"outcomes": outcomes}, rng).status_code == 200
    assert fleet.killed == (rounds + 1) // 2
    _check(_rows(fleet.database), given)
    assert len(given) == rounds * RIDERS


def _ride(fleet: Fleet, name: str, rng: random.Random) -> dict[str, Any]:
    body = {"id": name, "pickup": {"lat": 40.755, "lon": -73.9895 + 0.019 * rng.random()}}
    answer = fleet.ask("/v1/rides", body, rng)
    assert answer.status_code == 200, answer.text
    ride: dict[str, Any] = answer.json()
    return ride


def _check(rows: list[Row], given: dict[str, str]) -> None:
    assert {name: driver for name, driver, _, _ in rows} == given  # none lost, and each answered as it was decided
    by_driver: dict[str, list[tuple[float, float]]] = {}
    for _, driver, decided_at, ended_at in rows:
        by_driver.setdefault(driver, []).append((decided_at, ended_at))
    for times in by_driver.values():
        times.sort()
        assert all(after[0] >= before[1] for before, after in pairwise(times))


def _rows(database: Path) -> list[Row]:
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT id, driver, decided_at, ended_at FROM rides").fetchall()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
