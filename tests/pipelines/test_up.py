"""Bringing a stack up and down: what is checked before anything is started or stopped."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from adapters.artifact_store import ZONES_FILE, ArtifactStore
from adapters.state import State
from adapters.tables import read_zones
from adapters.valkey import embedded_valkey, free_port
from contracts.errors import InvalidInput, Unavailable
from contracts.routes import RouteTable
from pipelines.ask import answers, one_eta
from pipelines.layout import MODEL
from pipelines.stack import NotPrivate, Stack, UnderWay, alone, private_folder
from pipelines.supervisor import MARKER
from pipelines.up import _zones, down, stack_environ, up
from serving.settings import Settings
from tests.fakes import tiny_artifact

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_one_up_or_down_of_a_home_at_a_time(tmp_path: Path) -> None:
    """Beside an `up` under way a second one and a `down` are refused, and end none of its processes."""
    stack = Stack(tmp_path)
    with alone(stack):
        started = subprocess.Popen(SLEEP, env={**os.environ, MARKER: stack.id})
        try:
            for verb in (up, down):
                with pytest.raises(UnderWay, match="under way"):
                    verb(tmp_path)
            assert started.poll() is None
        finally:
            started.kill()
            started.wait()
    assert down(tmp_path)["ok"]


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """A killed `up` leaves its file, not its lock."""
    with alone(Stack(tmp_path)):
        pass
    with (tmp_path / "run" / "up.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_private_folder_shuts_others_out(tmp_path: Path) -> None:
    """A new one and an open one alike."""
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("open", "new"):
        private_folder(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_folder_that_another_laid_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link, and a folder of another user."""
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotPrivate, match="symbolic link"):
        private_folder(tmp_path / "link")
    monkeypatch.setattr("os.getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(NotPrivate, match="belongs to user"):
        private_folder(tmp_path)


def test_the_features_are_the_owners_only(tmp_path: Path) -> None:
    """The embedded server's folder is shut, also where it was there before."""
    (tmp_path / "data").mkdir(mode=0o755)
    embedded_valkey(tmp_path / "data", tmp_path).configure()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()} == {0o600}


def test_a_running_stack_knows_its_own_addresses(tmp_path: Path) -> None:
    """The caller's environment counts only where nothing is up."""
    stack, environ = Stack(tmp_path), {"TANDEM_PORT": "9000", "TANDEM_GRPC_PORT": "9001"}
    assert stack.settings(environ).url == "http://127.0.0.1:9000"
    stack.run.mkdir()
    supervisor = {"pid": os.getpid(), "created": psutil.Process().create_time()}
    started_with = {"host": "127.0.0.2", "port": 7000, "grpc_port": 7001, "replicas": 3, "state_url": "sqlite:///x.db"}
    stack.record.write_text(json.dumps({"supervisor": supervisor, "settings": started_with}))
    found = stack.settings(environ)
    assert (found.url, found.grpc_port, found.replicas, found.state) == (
        "http://127.0.0.2:7000",
        7001,
        3,
        "sqlite:///x.db",
    )


def test_a_store_that_feast_cannot_fill_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unix socket would do for the replicas: it is refused before trips are drawn, without its password."""
    for variable in ("TANDEM_PORT", "TANDEM_GRPC_PORT"):
        monkeypatch.setenv(variable, str(free_port()))
    monkeypatch.setenv("TANDEM_REDIS_URL", "unix://:s3cret@/run/valkey.sock")
    with pytest.raises(InvalidInput, match="unix://…") as refused:
        up(tmp_path, progress=False)
    assert "s3cret" not in str(refused.value)
    assert not (tmp_path / "data").exists()


def test_the_first_eta_is_within_the_champions_city(tmp_path: Path) -> None:
    """The zones are those of the version in force, not of the newest one, which may know another city."""
    settings = Settings(home=tmp_path)
    store = ArtifactStore(settings.artifacts)
    for version in (1, 2):
        store.publish(tiny_artifact(tmp_path / f"made-{version}", version=version))
    state = State(settings.state)
    state.put_route_table(RouteTable(model=MODEL, generation=1, champion=1))
    state.close()
    (store.path(MODEL, 2) / ZONES_FILE).unlink()
    assert _zones(settings) == read_zones(store.path(MODEL, 1) / ZONES_FILE).ids


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a server that refuses everything with a problem document."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(422)
            self.end_headers()
            self.wfile.write(b'{"detail": "no such zone"}')

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_refused_first_eta_says_why(refusing: str) -> None:
    """The problem document is in the error, and so is the cause where nobody listens."""
    with pytest.raises(Unavailable, match=r"422.*no such zone"):
        one_eta(refusing, ["1", "2"])
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match="refused"):
        one_eta(nobody, ["1", "2"])
    assert not answers(nobody)


def test_the_stack_does_not_inherit_feasts_metrics_files() -> None:
    """Importing Feast sets the variable in `up`; a replica that inherited it would count into shared files."""
    inherited = {"PATH": "/bin", "PROMETHEUS_MULTIPROC_DIR": "x", "PROMETHEUS_MULTIPROCESS_DIR": "x"}
    assert stack_environ(inherited) == {"PATH": "/bin"}
