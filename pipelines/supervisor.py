"""The supervisor: starts the stack's processes in order, starts again what dies, stops them in the reverse order.

Every process carries the stack's id in its environment, so that `down` finds what is left of a stack whose supervisor
was killed, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import psutil

MARKER: Final = "TANDEM_STACK_ID"
_LOOK_S: Final = 0.2
_RESTART_S: Final = (0.0, 0.2, 1.0, 5.0)  # the wait before the n-th restart in a row
_LASTED_S: Final = 30.0  # one that ran this long starts the row anew


@dataclass
class Component:
    """One process of the stack. `stop_s` is how long it may take to end before it is killed."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    stop_s: float = 5.0
    ready: Callable[[], bool] = lambda: True
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    restarts: int = 0

    @property
    def pid(self) -> int | None:
        """Its process, where one runs."""
        return self.process.pid if self.process and self.process.poll() is None else None


class Supervisor:
    """Runs components until told to stop; `changed` is called whenever a pid is another one."""

    def __init__(
        self, components: Sequence[Component], stack_id: str, log: IO[bytes], changed: Callable[[], None]
    ) -> None:
        self.components = components
        self._stack_id = stack_id
        self._log = log
        self._changed = changed
        self._stopping = False

    def stop(self) -> None:
        """Ask `run` to end; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Start everything and keep it up; returns when all of it has ended."""
        try:
            for component in self.components:
                self._start(component)
                while not (component.ready() or self._stopping):
                    self._look_after(component)
                    time.sleep(_LOOK_S / 4)
            while not self._stopping:
                for component in self.components:
                    self._look_after(component)
                time.sleep(_LOOK_S)
        finally:
            for component in reversed(self.components):
                self._stop(component)
            sweep(self._stack_id, spare=os.getpid())

    def _start(self, component: Component) -> None:
        if self._stopping:
            return
        self.say(f"starting {component.name}")
        component.process = subprocess.Popen(
            component.command,
            env={**os.environ, **component.environ, MARKER: self._stack_id},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        component.started_at = time.monotonic()
        self._changed()

    def _look_after(self, component: Component) -> None:
        if component.process is None or component.process.poll() is None or self._stopping:
            return
        now = time.monotonic()
        if component.failures and now - component.started_at >= _LASTED_S:
            component.failures = 0
        wait_s = _RESTART_S[min(component.failures, len(_RESTART_S) - 1)]
        if now - component.started_at < wait_s:
            return
        self.say(f"{component.name} ended with status {component.process.returncode}")
        component.failures += 1
        component.restarts += 1
        self._start(component)

    def _stop(self, component: Component) -> None:
        process = component.process
        if process is None or process.poll() is not None:
            return
        self.say(f"stopping {component.name}")
        process.terminate()
        try:
            process.wait(component.stop_s)
        except subprocess.TimeoutExpired:
            self.say(f"{component.name} did not end within {component.stop_s} s: killed")
            process.kill()
            process.wait()

    def say(self, words: str) -> None:
        """Write a line to the stack's log."""
        self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} supervisor {words}\n".encode())
        self._log.flush()


def members(stack_id: str, spare: int = 0) -> Iterator[psutil.Process]:
    """The running processes that carry a stack's id and all below them, but for `spare` and this process.

    Below them, too: Ray's agents write their titles over their environments.
    """
    seen = {spare, os.getpid()}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) != stack_id or process.pid in seen:
                continue
            for one in (process, *process.children(recursive=True)):
                if one.pid not in seen and one.status() != psutil.STATUS_ZOMBIE:
                    seen.add(one.pid)
                    yield one


def sweep(stack_id: str, spare: int = 0, term_s: float = 2.0, limit_s: float = 20.0) -> int:
    """End every process of a stack, by request and then by force, until none is left; returns how many there were."""
    seen: set[int] = set()
    deadline = time.monotonic() + limit_s
    while (found := list(members(stack_id, spare))) and time.monotonic() < deadline:
        fresh = [process for process in found if process.pid not in seen]
        seen.update(process.pid for process in fresh)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.terminate() if process in fresh else process.kill()
        psutil.wait_procs(found, timeout=term_s)
    return len(seen)


def log_path(run: Path) -> Path:
    """The log of the supervisor and of everything it starts."""
    return run / "tandem.log"
