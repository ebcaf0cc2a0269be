"""The supervisor: what dies is started again, what it started ends with it, and nothing else does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.supervisor import MARKER, Component, Supervisor, members, sweep

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [sys.executable, "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]


@pytest.fixture
def stack_id() -> Iterator[str]:
    """An id of its own, of which nothing stays behind."""
    name = uuid.uuid4().hex
    yield name
    sweep(name, term_s=0.1)


def until(done: Callable[[], bool]) -> None:
    """Wait for it, not for ever."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_dies_is_started_again(stack_id: str) -> None:
    """A killed component gets a new process; stopping ends all, in the reverse order, the stubborn by force."""
    log = io.BytesIO()
    null = Path(os.devnull).open("wb")  # noqa: SIM115 - lives as long as the supervisor
    changes: list[int] = []
    components = [Component("one", STUBBORN, stop_s=0.2), Component("two", SLEEP)]
    supervisor = Supervisor(components, stack_id, null, lambda: changes.append(1))
    supervisor.say = lambda words: log.write(f"{words}\n".encode()) and None  # type: ignore[method-assign]
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    until(lambda: all(component.pid for component in components))
    first = components[1].pid
    assert first
    os.kill(first, 9)
    until(lambda: components[1].pid not in (None, first))
    assert (components[1].restarts, len(changes)) == (1, 3)
    supervisor.stop()
    thread.join()
    null.close()
    assert list(members(stack_id)) == []
    said = log.getvalue().decode()
    assert said.index("stopping two") < said.index("stopping one")
    assert "killed" in said


def test_sweep_ends_its_own_and_their_children_only(stack_id: str) -> None:
    """By the mark in the environment, and below it; a neighbour without the mark lives on."""
    parent = f"import subprocess,time,os; subprocess.Popen({SLEEP!r}, env={{}}); time.sleep(600)"
    marked = subprocess.Popen([sys.executable, "-c", parent], env={**os.environ, MARKER: stack_id})
    neighbour = subprocess.Popen(SLEEP, env={**os.environ, MARKER: "another"})
    try:
        until(lambda: len(list(members(stack_id))) == 2)
        assert sweep(stack_id, term_s=5) == 2
        assert list(members(stack_id)) == []
        assert neighbour.poll() is None
    finally:
        for process in (marked, neighbour):
            process.kill()
            process.wait()
