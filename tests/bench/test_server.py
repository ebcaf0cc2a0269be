"""Starting, measuring and stopping a row's processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from bench.ports import free_port
from bench.server import NotReady, post, running

PARENT = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
print(child.pid, flush=True)

class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
"""


def test_all_processes_of_a_row_are_measured_and_stopped(tmp_path: Path) -> None:
    """A child in a session of its own is found by the mark it inherited, and ended with the rest."""
    port, log = free_port(), tmp_path / "log"
    cpus = sorted(os.sched_getaffinity(0))[:1]
    command = [sys.executable, "-c", PARENT, str(port)]
    with running(command, {}, cpus=cpus, log=log, stop_signal=15) as server:
        assert server.wait_ready(("127.0.0.1", port), "/", b"{}", 30) > 0
        assert post(("127.0.0.1", port), "/", b"{}") == (200, b"")
        usage = server.usage()
        child = psutil.Process(int(log.read_text().split()[0]))
        assert child.cpu_affinity() == cpus
    assert usage.processes == 2
    assert usage.memory_mib > 1
    assert usage.cpu_s > 0
    assert not child.is_running()


def test_a_server_that_ends_tells_its_last_words(tmp_path: Path) -> None:
    """The reason in the table comes from the log."""
    command = [sys.executable, "-c", "raise SystemExit('no model')"]
    with (
        running(command, {}, cpus=sorted(os.sched_getaffinity(0)), log=tmp_path / "log", stop_signal=15) as server,
        pytest.raises(NotReady, match="exited with 1: no model"),
    ):
        server.wait_ready(("127.0.0.1", 1), "/", b"{}", 30)
