"""Real servers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from adapters.valkey import EmbeddedValkey, embedded_valkey


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A real server, stopped by its pid."""
    folder = tmp_path_factory.mktemp("v")
    server = embedded_valkey(folder / "data", folder)
    server.configure()
    process = subprocess.Popen(server.command(), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not server.ready():
            assert process.poll() is None
            assert time.monotonic() < deadline
        yield server
    finally:
        process.kill()
        process.wait()
