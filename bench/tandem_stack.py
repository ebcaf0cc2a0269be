"""The whole stack as `tandem up` supervises it, started for a suite and stopped after it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from adapters.artifact_store import ZONES_FILE
from adapters.tables import read_zones
from bench.exposition import by_replica, scrape
from bench.rows import tandem
from bench.rows.protocol import Site
from bench.server import NotReady, Server, running
from bench.wire import EtaTrips
from pipelines.stack import Stack
from serving.front import ready_replicas
from serving.listener import socket_path

ALL_READY_S = 180.0


@dataclass(frozen=True)
class TandemStack:
    """A stack that answers."""

    server: Server
    site: Site
    stack: Stack
    slots: int

    @property
    def address(self) -> tuple[str, int]:
        """Where the front listens."""
        return self.site.host, self.site.port

    def replicas(self) -> list[Path]:
        """The sockets of the replicas that answer."""
        found = []
        for path in (socket_path(self.stack.sockets, slot) for slot in range(self.slots)):
            try:
                scrape(path)
            except OSError:
                continue
            found.append(path)
        return found

    def metrics(self) -> dict[str, dict[tuple[str, str], float]]:
        """Every replica's samples, from its own socket or, where one tells of all, from the first."""
        return metrics_of(self.replicas())

    def component(self, name: str) -> psutil.Process:
        """A process that the supervisor watches."""
        return psutil.Process(self.stack.read_record()["components"][name]["pid"])


def metrics_of(sockets: Sequence[Path]) -> dict[str, dict[tuple[str, str], float]]:
    """Samples by replica, from their sockets; raises OSError."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for path in sockets:
        parts = by_replica(scrape(path))
        if set(parts) - {""}:
            return {replica: samples for replica, samples in parts.items() if replica}
        found[path.name] = parts.get("", {})
    return found


@contextmanager
def tandem_stack(
    site: Site, *, replicas: int, cpus: tuple[int, ...] = (0, 1), extra: Mapping[str, str] | None = None
) -> Iterator[TandemStack]:
    """Publish the site's model in a home of its own, start the stack, and wait until every replica is in the front."""
    tandem.prepare(site)
    variables = {**tandem.variables(site), "TANDEM_REPLICAS": str(replicas), **(extra or {})}
    stack = Stack(Path(variables["TANDEM_HOME"]).resolve())
    log = site.scratch / "tandem.log"
    with running(tandem.command(site), variables, cpus=cpus, log=log, stop_signal=15) as server:
        try:
            start, end, *_ = read_zones(site.model.parent / ZONES_FILE).ids
            body = EtaTrips().body([{"pickup": {"zone": start}, "dropoff": {"zone": end}}])
            server.wait_ready((site.host, site.port), EtaTrips().path, body, ALL_READY_S)
            _wait_for_all(stack, replicas)
            yield TandemStack(server, site, stack, 2 * replicas + 2)
        finally:
            server.stop(grace_s=45.0)  # the supervisor stops Ray, HAProxy and the rest in their order
            if stack.sockets != stack.run:
                shutil.rmtree(stack.sockets, ignore_errors=True)


def _wait_for_all(stack: Stack, replicas: int) -> None:
    end = time.monotonic() + ALL_READY_S
    while ready_replicas(stack.sockets) < replicas:
        if time.monotonic() > end:
            raise NotReady(f"{ready_replicas(stack.sockets)} of {replicas} replicas are ready after {ALL_READY_S} s")
        time.sleep(0.1)
