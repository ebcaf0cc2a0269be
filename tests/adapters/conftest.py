"""Databases: SQLite, and a real PostgreSQL where its programs are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from adapters.valkey import free_port

_DEBIAN = Path("/usr/lib/postgresql")
_READY_S = 30.0


def programs() -> Path | None:
    """Where initdb and postgres are; Debian keeps them off the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max((path.parent for path in _DEBIAN.glob("*/bin/initdb")), default=None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of its own on a free port of loopback; its URL."""
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL: its initdb is not installed")
    # It refuses to run as root: then it runs as the user that its package has made.
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    home = Path(tempfile.mkdtemp(prefix="tandem-pg-"))  # a path that another user may enter
    if user:
        shutil.chown(home, "postgres", "postgres")
    data, port = home / "data", free_port()
    made = [folder / "initdb", "-D", data, "-U", "tandem", "-A", "trust", "-N", "--no-instructions"]
    subprocess.run(made, check=True, capture_output=True, cwd=home, **user)
    options = ("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", f"unix_socket_directories={home}")
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([folder / "postgres", "-D", data, "-p", str(port), *options], cwd=home, **quiet, **user)
    url = f"postgresql+psycopg2://tandem@127.0.0.1:{port}/postgres"
    engine = sa.create_engine(url)
    try:
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                engine.connect().close()
                break
            except sa.exc.OperationalError:
                assert server.poll() is None, "PostgreSQL ended"
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)
        yield url
    finally:
        engine.dispose()
        server.terminate()
        server.wait(_READY_S)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state.db'}"
        return
    server_url = request.getfixturevalue("postgres")
    name = f"tandem_{uuid.uuid4().hex}"
    server = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()
