"""A stack that really runs, with a model that always says 600 s, and clients that ask it all the time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest

from adapters.artifact_store import ArtifactStore
from adapters.trips_file import trips_writer
from adapters.valkey import free_port
from contracts.features import ETA_SCHEMA
from pipelines.layout import Layout
from pipelines.materialize import build
from pipelines.stack import Stack
from pipelines.status import status
from pipelines.supervisor import members
from pipelines.up import down, up
from serving.front import ready_replicas
from tests.fakes import constant_onnx, tiny_artifact, write_tiny_zones
from tests.some_trips import some_trips

TRIPS = {"trips": [{"pickup": {"zone": "1"}, "dropoff": {"zone": "2"}}]}
PATIENCE_S = 120.0


@dataclass
class Running:
    """A stack that is up."""

    home: Path
    url: str
    result: dict[str, Any]

    def eta(self, client: httpx.Client) -> httpx.Response:
        """One request."""
        return client.post(f"{self.url}/v1/eta", json=TRIPS, timeout=10)

    def pid(self, component: str) -> int:
        """The pid of a component."""
        found: int = status(self.home)["components"][component]["pid"]
        return found

    def ready(self) -> int:
        """How many replicas the front knows to be ready."""
        return ready_replicas(Stack(self.home).sockets)

    def replicas(self) -> list[psutil.Process]:
        """The replicas' processes."""
        return [p for p in members(Stack(self.home).id) if "ServeReplica" in " ".join(p.cmdline())]


class Clients:
    """Two clients that ask all the time, from `with` to its end."""

    def __init__(self, *, pause_s: float) -> None:
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def ask(self, client: httpx.Client) -> None:
        """Ask once, and remember what came."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Start asking."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx.Client(timeout=10) as client:
            while not self._stop.wait(self._pause_s):
                self.ask(client)


class Callers(Clients):
    """They count what they get."""

    def __init__(self, stack: Running) -> None:
        super().__init__(pause_s=0.02)
        self._stack = stack
        self.seen: Counter[str] = Counter()

    def ask(self, client: httpx.Client) -> None:
        """See Clients."""
        try:
            answer = self._stack.eta(client)
            kind = answer.json()["etas"][0]["source"] if answer.status_code == 200 else str(answer.status_code)
        except httpx.HTTPError as error:
            kind = type(error).__name__
        self.seen[kind] += 1


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for it, with patience but not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def fill(home: Path) -> None:
    """Give the home features of its tiny city: without any, the heuristic answers."""
    layout = Layout(home)
    zone = {"4": "1", "12": "2", "74": "3", "138": "1"}
    trips = some_trips(200, days=2).replace({"pickup_zone": zone, "dropoff_zone": zone})
    with trips_writer(layout.trips, "drawn for a test") as write:
        write(trips)
    write_tiny_zones(layout.zones)
    build(home)


@contextmanager
def running_stack(home: Path, **settings: str) -> Iterator[Running]:
    """A stack of its own home on ports of its own, taken down whatever happens; `settings` have no prefix."""
    model = constant_onnx(len(ETA_SCHEMA.features), 600.0)
    ArtifactStore(home / "artifacts").publish(tiny_artifact(home / "made", schema=ETA_SCHEMA, model=model))
    fill(home)
    patience = {"FEATURE_DEADLINE_MS": "1000", "QUEUE_MS": "1000"}  # a busy machine is not what is tested
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PORT": free_port(), "GRPC_PORT": free_port(), **patience, **settings}.items():
            patch.setenv(f"TANDEM_{name}", str(value))
        try:
            result = up(home, progress=False)
            yield Running(home, result["url"], result)
        finally:
            down(home)
            assert list(members(Stack(home).id)) == []
