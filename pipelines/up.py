"""`tandem up`, `down` and `status`: from nothing to a served ETA, and back to nothing."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from adapters.artifact_store import ZONES_FILE, ArtifactStore
from adapters.state import State
from adapters.tables import read_zones
from contracts.errors import NotFound, TandemError, Unavailable
from contracts.routes import RouteTable
from pipelines.layout import MODEL, Layout
from pipelines.stack import Stack
from pipelines.supervisor import log_path, members, sweep
from serving.front import ready_replicas
from serving.settings import PREFIX, Settings, load_settings

_READY_S: Final = 180.0
_DOWN_S: Final = 60.0
_TRIES: Final = 2  # starts of Serve that may fail before `up` gives up: the same artifact fails the same way
_LOOK_S: Final = 0.2


class PortTaken(TandemError):
    """Somebody else listens on a port of the front's."""

    def __init__(self, host: str, port: int, variable: str) -> None:
        super().__init__(f"port {port} on {host} is in use by another program; set {variable} to a free one")


def up(home: Path, *, foreground: bool = False, progress: bool = True) -> dict[str, Any]:
    """Start the stack of a home and return when it answers, with one real ETA; on a fresh home, make a model first.

    In the foreground it stays until it is interrupted, and then stops the stack.
    """
    settings, stack = _settings(home), Stack(home)
    if stack.supervisor():
        return {"already_up": True, **_summary(stack, settings)}
    sweep(stack.id)
    _check_ports(settings)
    _prepare(home, settings, progress=progress)
    _say(progress, "starting Valkey, HAProxy and Ray Serve")
    try:
        _spawn(stack, settings)
        _wait(stack, lambda: bool(stack.read_record().get("redis_url")), "the online store")
        _fill_online_store(home, stack.read_record()["redis_url"], progress=progress)
        _wait(stack, lambda: _ready(stack, settings), "the replicas")
        result = _summary(stack, settings) | {"eta": _one_eta(settings)}
        if foreground:
            _say(progress, f"up at {settings.url}; Ctrl-C stops it")
            while stack.supervisor():
                time.sleep(_LOOK_S)
    except BaseException:  # an interrupt, too, leaves nothing half started
        down(home)
        raise
    return result


def down(home: Path) -> dict[str, Any]:
    """Stop the stack of a home, and only that; what a killed supervisor left behind as well."""
    stack = Stack(home)
    supervisor = stack.supervisor()
    if supervisor:
        with contextlib.suppress(psutil.Error):
            supervisor.terminate()
            supervisor.wait(_DOWN_S)
    ended = sweep(stack.id)
    stack.record.unlink(missing_ok=True)
    if stack.sockets != stack.run:
        shutil.rmtree(stack.sockets, ignore_errors=True)
    else:
        shutil.rmtree(stack.run / "ray", ignore_errors=True)
    left = [process.pid for process in members(stack.id)]
    return {"ok": not left, "stopped": bool(supervisor or ended), "left": left}


def status(home: Path) -> dict[str, Any]:
    """What runs, which version, at which addresses; `ok` where it answers."""
    settings, stack = _settings(home), Stack(home)
    supervisor, record = stack.supervisor(), stack.read_record()
    ready = supervisor is not None and _get(f"{settings.url}/readyz") is not None
    rows = {"supervisor": {"pid": None, "restarts": 0, "memory_mb": 0}}
    if supervisor:
        rows["supervisor"] |= {"pid": supervisor.pid, "memory_mb": _memory([supervisor])}
    for name, component in record.get("components", {}).items():
        rows[name] = {**component, "memory_mb": _memory(_tree(component["pid"]))}
    return {
        "ok": ready,
        "up": supervisor is not None,
        "ready": ready,
        "replicas": f"{ready_replicas(stack.sockets)} of {settings.replicas} ready",
        "route": _route(settings),
        "url": record.get("url", settings.url),
        "docs": f"{settings.url}/docs",
        "log": str(log_path(stack.run)),
        "components": rows,
    }


def _settings(home: Path) -> Settings:
    return load_settings({**os.environ, f"{PREFIX}HOME": str(home)})


def _prepare(home: Path, settings: Settings, *, progress: bool) -> None:
    """Bring a fresh home to a published version and a first route table."""
    artifacts = ArtifactStore(settings.artifacts)
    if not artifacts.versions(MODEL):
        if not Layout(home).trips.exists():
            _say(progress, "drawing sample trips")
            _pipeline("data").sample(home, progress=progress)
        _say(progress, "training both tiers")
        version = _pipeline("train").train(home, progress=progress)["version"]
        _say(progress, f"publishing {MODEL}@{version}")
        _pipeline("publish").publish(home, version)
    state = State(settings.state)
    try:
        state.route_table(MODEL)
    except NotFound:
        state.put_route_table(RouteTable(model=MODEL, generation=1, champion=artifacts.versions(MODEL)[0]))
    finally:
        state.close()


def _fill_online_store(home: Path, redis_url: str, *, progress: bool) -> None:
    if not Layout(home).features.is_dir():
        return
    _say(progress, "filling the online store")
    store = importlib.import_module("feature_repo.store").open_store(home, redis_url=redis_url)
    _pipeline("materialize").materialize(home, store, datetime.now(UTC))


def _spawn(stack: Stack, settings: Settings) -> None:
    stack.run.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, f"{PREFIX}HOME": str(stack.home), "TANDEM_STACK_ID": stack.id}
    with log_path(stack.run).open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "pipelines.stack"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_S
    while not stack.supervisor() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    if not stack.supervisor():
        raise Unavailable("the stack", "not_started", f"{log_path(stack.run)} has the cause at {settings.url}")


def _ready(stack: Stack, settings: Settings) -> bool:
    """Whether all replicas answer; the first question also waits out the front's own start, when it counts on all."""
    return _get(f"{settings.url}/readyz") is not None and ready_replicas(stack.sockets) >= settings.replicas


def _wait(stack: Stack, done: Any, thing: str) -> None:
    deadline = time.monotonic() + _READY_S
    while not done():
        if not stack.supervisor():
            raise Unavailable(thing, "supervisor_ended", _last_words(stack))
        if stack.restarts("serve") >= _TRIES:
            raise Unavailable(thing, "keeps_failing", _last_words(stack))
        if time.monotonic() > deadline:
            raise Unavailable(thing, "not_ready", f"within {_READY_S:.0f} s; {_last_words(stack)}")
        time.sleep(_LOOK_S)


def _last_words(stack: Stack) -> str:
    path = log_path(stack.run)
    lines = path.read_text(errors="replace").splitlines()[-5:] if path.exists() else []
    return f"the end of {path}:\n" + "\n".join(lines)


def _check_ports(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    for port, variable in ((settings.port, "TANDEM_PORT"), (settings.grpc_port, "TANDEM_GRPC_PORT")):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                raise PortTaken(settings.host, port, variable) from error


def _one_eta(settings: Settings) -> dict[str, Any]:
    artifacts = ArtifactStore(settings.artifacts)
    zones = read_zones(artifacts.path(MODEL, artifacts.versions(MODEL)[-1]) / ZONES_FILE).ids
    trip = {"pickup": {"zone": zones[0]}, "dropoff": {"zone": zones[len(zones) // 2]}}
    body = json.dumps({"trips": [trip]}).encode()
    answer = _get(f"{settings.url}/v1/eta", body)
    if answer is None:
        raise Unavailable("/v1/eta", "no_answer", settings.url)
    return {"request": trip, **json.loads(answer)["etas"][0]}


def _get(url: str, body: bytes | None = None) -> bytes | None:
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - our own address
            content: bytes = response.read()
            return content
    except (OSError, urllib.error.URLError):
        return None


def _summary(stack: Stack, settings: Settings) -> dict[str, Any]:
    return {
        "url": settings.url,
        "docs": f"{settings.url}/docs",
        "grpc": f"{settings.host}:{settings.grpc_port}",
        "route": _route(settings),
        "log": str(log_path(stack.run)),
        "stop": "make down, or: tandem down",
    }


def _route(settings: Settings) -> str:
    if settings.state.startswith("sqlite") and not (settings.home / "state.db").exists():
        return ""
    state = State(settings.state)
    try:
        table = state.route_table(MODEL)
    except NotFound:
        return ""
    finally:
        state.close()
    return f"champion {MODEL}@{table.champion}, generation {table.generation}"


def _tree(pid: int | None) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)] if pid else []
    except psutil.Error:
        return []


def _memory(processes: list[psutil.Process]) -> int:
    """The proportional shares of processes, in MB: what they share counts once."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total >> 20


def _pipeline(name: str) -> Any:
    return importlib.import_module(f"pipelines.{name}")


def _say(progress: bool, words: str) -> None:  # noqa: FBT001
    if progress:
        print(f"tandem: {words}", file=sys.stderr, flush=True)  # noqa: T201 - progress is what stderr is for
