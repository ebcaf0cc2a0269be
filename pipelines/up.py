"""`tandem up`, `down` and `status`: from nothing to a served ETA, and back to nothing."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from adapters.artifact_store import ZONES_FILE, ArtifactStore
from adapters.state import State
from adapters.tables import read_zones
from contracts.errors import NotFound, TandemError, Unavailable
from contracts.routes import RouteTable
from pipelines.ask import answers, one_eta
from pipelines.layout import MODEL, Layout
from pipelines.stack import Stack, alone, private_folder
from pipelines.stream_metrics import stream_status
from pipelines.supervisor import log_path, members, sweep
from serving.front import ready_replicas
from serving.settings import PREFIX, Settings

_READY_S: Final = 180.0
_DOWN_S: Final = 60.0
_TRIES: Final = 2  # starts of Serve that may fail before `up` gives up: the same artifact fails the same way
_LOOK_S: Final = 0.2

# A fresh machine is to answer soon: the teachers and a second fit of every student would double the time to train.
FIRST_VERSION: Final = {"distill.folds": 0}


class PortTaken(TandemError):
    """Somebody else listens on a port of the front's."""

    def __init__(self, host: str, port: int, variable: str) -> None:
        super().__init__(f"port {port} on {host} is in use by another program; set {variable} to a free one")


def up(home: Path, *, foreground: bool = False, progress: bool = True) -> dict[str, Any]:
    """Start the stack of a home and return when it answers, with one real ETA; on a fresh home, make a model first.

    In the foreground it stays until it is interrupted, and then stops the stack.
    """
    stack = Stack(home)
    with alone(stack):
        settings = stack.settings(os.environ)
        if stack.supervisor():
            _wait(stack, lambda: _ready(stack, settings), "the replicas")
            return {"already_up": True, **_summary(stack, settings)}
        sweep(stack.id)
        result = _start(stack, settings, progress=progress)
    if foreground:
        _say(progress, f"up at {settings.url}; Ctrl-C stops it")
        try:
            while stack.supervisor():
                time.sleep(_LOOK_S)
        except BaseException:
            down(home)
            raise
    return result


def _start(stack: Stack, settings: Settings, *, progress: bool) -> dict[str, Any]:
    _check_ports(settings)
    if settings.redis_url:  # Feast takes fewer URLs than the replicas do: better told before than after training
        _feature_store().redis_connection(settings.redis_url)
    private_folder(stack.sockets)
    _prepare(stack.home, settings, progress=progress)
    _say(progress, "starting Valkey, HAProxy and Ray Serve")
    try:
        _spawn(stack, settings)
        _wait(stack, lambda: bool(stack.read_record().get("redis_url")), "the online store")
        _fill_online_store(stack.home, stack.read_record()["redis_url"], progress=progress)
        _wait(stack, lambda: _ready(stack, settings), "the replicas")
        return _summary(stack, settings) | {"eta": one_eta(settings.url, _zones(settings))}
    except BaseException:  # an interrupt, too, leaves nothing half started
        _stop(stack)
        raise


def down(home: Path) -> dict[str, Any]:
    """Stop the stack of a home, and only that; what a killed supervisor left behind as well."""
    stack = Stack(home)
    with alone(stack):
        return _stop(stack)


def _stop(stack: Stack) -> dict[str, Any]:
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
    stack = Stack(home)
    settings = stack.settings(os.environ)
    supervisor, record = stack.supervisor(), stack.read_record()
    ready = supervisor is not None and answers(f"{settings.url}/readyz")
    rows = {"supervisor": {"pid": None, "restarts": 0, "memory_mb": 0}}
    if supervisor:
        rows["supervisor"] |= {"pid": supervisor.pid, "memory_mb": _memory([supervisor])}
    for name, component in record.get("components", {}).items():
        rows[name] = {**component, "memory_mb": _memory(_tree(component["pid"]))}
    return {
        "ok": ready,
        "up": supervisor is not None,
        "ready": ready,
        "replicas": f"{ready_replicas(stack.sockets)} of {_number(settings)} ready",
        "route": _route(settings),
        "url": record.get("url", settings.url),
        "docs": f"{settings.url}/docs",
        "log": str(log_path(stack.run)),
        "stream": stream_status(stack.sockets, time.time()) if supervisor else {},
        "components": rows,
    }


def _prepare(home: Path, settings: Settings, *, progress: bool) -> None:
    """Bring a fresh home to a published version and a first route table."""
    artifacts = ArtifactStore(settings.artifacts)
    if not artifacts.versions(MODEL):
        if not Layout(home).trips.exists():
            _say(progress, "drawing sample trips")
            _pipeline("data").sample(home, progress=progress)
        _say(progress, "training both tiers")
        version = _pipeline("train").train(home, params=FIRST_VERSION, progress=progress)["version"]
        _say(progress, f"publishing {MODEL}@{version}")
        _pipeline("publish").publish(home, version)
    state = State(settings.state)
    try:
        champion = state.route_table(MODEL).champion
    except NotFound:
        champion = artifacts.versions(MODEL)[0]
        state.put_route_table(RouteTable(model=MODEL, generation=1, champion=champion))
    finally:
        state.close()
    if Layout(home).features.is_dir():
        _pipeline("materialize").check_built_for(home, artifacts.read(MODEL, champion).manifest)


def _fill_online_store(home: Path, redis_url: str, *, progress: bool) -> None:
    if not Layout(home).features.is_dir():
        _say(progress, f"no features in {Layout(home).features}: the online store stays as it is")
        return
    _say(progress, "filling the online store")
    store = _feature_store().open_store(home, redis_url=redis_url)
    _pipeline("materialize").materialize(home, store, datetime.now(UTC))


def stack_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What the stack's processes inherit.

    Training and filling import Feast, which turns prometheus_client's multi-process mode on for this process and its
    children: every count would go to a file, and processes with the same number would share it.
    """
    return {name: value for name, value in environ.items() if not name.upper().startswith("PROMETHEUS_MULTIPROC")}


def _spawn(stack: Stack, settings: Settings) -> None:
    log_path(stack.run).touch(mode=0o600)
    environ = stack_environ(os.environ) | {f"{PREFIX}HOME": str(stack.home), "TANDEM_STACK_ID": stack.id}
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


def _number(settings: Settings) -> str:
    few, most = settings.fewest, settings.most
    return str(most) if few == most else f"{few} to {most}"


def _ready(stack: Stack, settings: Settings) -> bool:
    """Whether the replicas answer that there always are.

    The first question also waits out the front's own start, when it counts on all.
    """
    return answers(f"{settings.url}/readyz") and ready_replicas(stack.sockets) >= settings.fewest


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


def _zones(settings: Settings) -> Sequence[str]:
    champion = ArtifactStore(settings.artifacts).path(MODEL, _routes(settings).champion)
    return read_zones(champion / ZONES_FILE).ids


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
    try:
        table = _routes(settings)
    except NotFound:
        return ""
    words = [f"champion {MODEL}@{table.champion}"]
    if table.candidate:
        words.append(f"canary {MODEL}@{table.candidate} at {table.candidate_percent:g} %")
    if table.shadow:
        words.append(f"shadow {MODEL}@{table.shadow}")
    if table.fallback_only:
        words.append("switched off by a flag")
    return ", ".join([*words, f"generation {table.generation}"])


def _routes(settings: Settings) -> RouteTable:
    state = State(settings.state)
    try:
        return state.route_table(MODEL)
    finally:
        state.close()


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


def _feature_store() -> Any:
    return importlib.import_module("feature_repo.store")


def _pipeline(name: str) -> Any:
    return importlib.import_module(f"pipelines.{name}")


def _say(progress: bool, words: str) -> None:  # noqa: FBT001
    if progress:
        print(f"tandem: {words}", file=sys.stderr, flush=True)  # noqa: T201 - progress is what stderr is for
