"""`tandem up` and `down`: from nothing to a served ETA, and back to nothing."""

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
from pipelines.ask import one_eta
from pipelines.layout import MODEL, Layout
from pipelines.stack import Stack, alone, private_folder
from pipelines.status import ready, routes, summary
from pipelines.supervisor import log_path, members, sweep
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
            _wait(stack, lambda: ready(stack, settings), "the replicas")
            return {"already_up": True, **summary(stack, settings)}
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
        _wait(stack, lambda: ready(stack, settings), "the replicas")
        return summary(stack, settings) | {"eta": one_eta(settings.url, _zones(settings))}
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
    champion = ArtifactStore(settings.artifacts).path(MODEL, routes(settings).champion)
    return read_zones(champion / ZONES_FILE).ids


def _feature_store() -> Any:
    return importlib.import_module("feature_repo.store")


def _pipeline(name: str) -> Any:
    return importlib.import_module(f"pipelines.{name}")


def _say(progress: bool, words: str) -> None:  # noqa: FBT001
    if progress:
        print(f"tandem: {words}", file=sys.stderr, flush=True)  # noqa: T201 - progress is what stderr is for
