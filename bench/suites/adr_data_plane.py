"""The two data planes that ADR 3 decides between: Serve's HAProxy mode as it is, and the replicas' own listeners."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from bench.acceptance import Line
from bench.http1 import post as message
from bench.load import Outcome, step, trace
from bench.markdown import table
from bench.process_names import REPLICA, name_of
from bench.rows import ray_haproxy, tandem
from bench.rows.protocol import APPS, PROJECT, Site
from bench.search import highest_rate
from bench.server import Server, post, running
from bench.suite import Bench, Suite
from bench.tandem_stack import tandem_stack
from bench.trace import percentile
from bench.turn import generator_on, held
from bench.vectors import items, pool
from bench.wire import OpenInference

WIRE = OpenInference()
RATE, REPLICAS = 200, 2
FAULT_S = {"replica SIGKILL": 12.0, "rolling update": 50.0, "HAProxy SIGKILL": 15.0}
AT_S = 3.0  # into the load
PLANES = ("Ray Serve, HAProxy mode", "own listener behind HAProxy")


@dataclass(frozen=True)
class Plane:
    """One that runs: where it answers, its processes, and how it is deployed anew."""

    server: Server
    address: tuple[str, int]
    redeploy: Callable[[], None]

    def kill(self, name: str) -> None:
        """SIGKILL the first process of a name."""
        found = [process for process in self.server.processes() if name_of(process) == name]
        if not found:
            found = [p for one in self.server.processes() for p in one.children(recursive=True) if name_of(p) == name]
        found[0].kill()


@contextmanager
def haproxy_mode(site: Site, replicas: int) -> Iterator[Plane]:
    """Serve's own HAProxy in front of deployments that speak the protocol."""
    command = [str(site.bin / "python"), str(APPS / "ray_oip_app.py"), str(site.port), str(replicas)]
    variables = {**ray_haproxy.variables(site), "BENCH_MODEL": str(site.model), "PYTHONPATH": str(PROJECT)}
    log = site.scratch / "haproxy-mode.log"
    with running(command, variables, cpus=(0, 1), log=log, stop_signal=signal.SIGINT) as server:
        address = (site.host, site.port)
        server.wait_ready(address, WIRE.path, _probe(site), 240.0)
        yield Plane(server, address, lambda: server.signal(signal.SIGHUP))


@contextmanager
def own_listener(site: Site, replicas: int) -> Iterator[Plane]:
    """Tandem as it is supervised."""
    with tandem_stack(site, replicas=replicas) as stack:

        def redeploy() -> None:
            pid = str(stack.component("serve").pid)
            command = [sys.executable, str(APPS / "tandem_redeploy.py"), pid]
            subprocess.run(command, check=True, capture_output=True, env=tandem_environ(site), timeout=90)

        yield Plane(stack.server, stack.address, redeploy)


def tandem_environ(site: Site) -> dict[str, str]:
    """The redeploying process reads the rest from the application that it replaces."""
    return {"PATH": "/usr/bin:/bin", **tandem.variables(site)}


def run(bench: Bench) -> dict[str, Any]:
    """One replica for the figures, two for the faults."""
    rows = []
    with bench.ground() as ground:
        for name, plane in zip(PLANES, (haproxy_mode, own_listener), strict=True):
            row: dict[str, Any] = {"plane": name}
            with plane(bench.site(ground), 1) as one:
                row |= _figures(one, bench)
            bench.say(f"adr_data_plane: {row}")
            with plane(bench.site(ground), REPLICAS) as two:
                row["faults"] = _faults(two, bench)
            rows.append(row)
    return {"rate": RATE, "replicas": REPLICAS, "rows": rows}


def _messages(bench: Bench) -> list[bytes]:
    return [message("127.0.0.1", WIRE.path, WIRE.body([item])) for item in items(pool(bench.artifact))]


def _probe(site: Site) -> bytes:
    return WIRE.body(items(pool(site.model.parent)[:1]))


def _figures(plane: Plane, bench: Bench) -> dict[str, Any]:
    messages, short = _messages(bench), 1.0 if bench.quick else 2.5

    def load(rate: float, seconds: float) -> Outcome:
        outcome = step(plane.address, messages, rate=rate, duration_s=seconds)
        if not held(outcome):
            time.sleep(1.5)
        return outcome

    with generator_on(0):
        load(50, 2)
        at_rate = load(RATE, 2 if bench.quick else 10)
        highest = highest_rate(lambda r: held(load(r, short / 2)), lambda r: held(load(r, short)), start=RATE)
    return {"p50_ms": at_rate.p50_ms, "p99_ms": at_rate.p99_ms, "failed": at_rate.failed, "highest": round(highest)}


def _faults(plane: Plane, bench: Bench) -> dict[str, Any]:
    actions = {
        "replica SIGKILL": lambda: plane.kill(REPLICA),
        "rolling update": plane.redeploy,
        "HAProxy SIGKILL": lambda: plane.kill("HAProxy"),
    }
    messages, found = _messages(bench), {}
    for name, action in actions.items():
        errors: list[str] = []
        seconds = FAULT_S[name]
        timer = threading.Timer(AT_S, _attempt, (action, errors))
        with generator_on(0):
            timer.start()
            taken = trace(plane.address, messages, rate=RATE, duration_s=seconds)
        timer.join()
        bad = taken.status != 200
        found[name] = {
            "sent": taken.sent,
            "failed": taken.sent - int((taken.status == 200).sum()),
            "statuses": taken.statuses(),
            "p99_ms": percentile(taken.latency_ms[~bad], 99),
            "answers_at_the_end": bool((taken.due_s[~bad] > seconds - 1).any()),
            "error": "; ".join(errors),
        }
        bench.say(f"adr_data_plane: {name}: {found[name]}")
        _calm(plane, WIRE.body(items(pool(bench.artifact)[:1])))
    return found


def _attempt(action: Callable[[], None], errors: list[str]) -> None:
    try:
        action()
    except (psutil.Error, subprocess.SubprocessError, LookupError, OSError) as error:
        output = getattr(error, "stderr", None) or b""
        errors.append(f"{type(error).__name__}: {error} {output[-400:]!r}")


def _calm(plane: Plane, body: bytes, limit_s: float = 45.0) -> None:
    """Wait until both replicas are there again: twenty answers in a row, and a while for the one that was replaced."""
    end, row = time.monotonic() + limit_s, 0
    while row < 20 and time.monotonic() < end:
        try:
            row = row + 1 if post(plane.address, WIRE.path, body)[0] == 200 else 0
        except OSError:
            row = 0
        time.sleep(0.1)
    count = len([p for p in plane.server.processes() if name_of(p) == REPLICA])
    while count < REPLICAS and time.monotonic() < end:
        time.sleep(0.5)
        count = len([p for p in plane.server.processes() if name_of(p) == REPLICA])
    time.sleep(3.0)


def lines(_: dict[str, Any]) -> Sequence[Line]:
    """An ADR hangs on this, no promise."""
    return []


def page(result: dict[str, Any]) -> str:
    """Tell figures and faults side by side."""
    planes = [row["plane"] for row in result["rows"]]
    rows: list[list[Any]] = [
        ["highest rate, one replica", *(f"{row['highest']:,}/s" for row in result["rows"])],
        [f"p50 / p99 ms at {result['rate']}/s", *(f"{row['p50_ms']} / {row['p99_ms']}" for row in result["rows"])],
    ]
    rows += [
        [f"failed of {result['rate']}/s: {name}", *(_told(r["faults"][name]) for r in result["rows"])]
        for name in FAULT_S
    ]
    return (
        f"{table(['', *planes], rows)}\n\nSame HAProxy, same model, Open Inference Protocol over HTTP; the own "
        f"listener with validation, metrics and logs. Faults with {result['replicas']} replicas, one fault each, not "
        "repeated. The rolling update deploys the same code with another argument."
    )


def _told(fault: dict[str, Any]) -> str:
    if fault["error"]:
        return f"not done: {fault['error'][:120]}"
    ending = "" if fault["answers_at_the_end"] else ", stays down"
    return f"{fault['failed']:,} of {fault['sent']:,}{ending}"


SUITE = Suite("adr_data_plane", "Data planes", run, lines, page)
