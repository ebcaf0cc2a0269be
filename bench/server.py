"""A row's server: started on its CPUs, awaited with a real request, measured over all its processes, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

MARK = "BENCH_RUN"  # every process that a row starts inherits it, however far it wanders from its parent


class NotReady(Exception):
    """A server that did not answer; the message holds the end of its log."""


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far and proportional memory in MiB, of all processes of a row."""

    cpu_s: float
    memory_mib: float
    processes: int


class Server:
    """The processes of one row, found by a mark in their environment."""

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], *, cpus: Sequence[int], log: Path, stop_signal: int
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._log = log
        self._stop_signal = stop_signal
        self._started = time.monotonic()
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)  # a child inherits it from its first instruction
        try:
            with log.open("wb") as out:
                self._process = subprocess.Popen(
                    command,
                    env={**os.environ, **variables, MARK: self._mark},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd=log.parent,
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, own)

    def wait_ready(self, address: tuple[str, int], path: str, body: bytes, limit_s: float) -> float:
        """Seconds from the start to the first answered request; raises NotReady."""
        last = "no connection"
        while time.monotonic() - self._started < limit_s:
            if self._process.poll() is not None:
                raise NotReady(f"exited with {self._process.returncode}: {self._tail()}")
            try:
                status, answer = post(address, path, body)
            except (OSError, HTTPException) as error:
                last = str(error)
            else:
                if status == 200:
                    return time.monotonic() - self._started
                last = f"status {status}: {answer[:200]!r}"
            time.sleep(0.05)
        raise NotReady(f"not ready after {limit_s:.0f} s ({last}): {self._tail()}")

    def cpu_s(self) -> float:
        """CPU seconds so far; what memory costs to read is not paid."""
        total = 0.0
        for process in self.processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def usage(self) -> Usage:
        """Sum over the processes that carry the mark."""
        cpu_s, memory, count = 0.0, 0, 0
        for process in self.processes():
            try:
                times, pss = process.cpu_times(), process.memory_full_info().pss
            except psutil.Error:
                continue
            cpu_s += times.user + times.system
            memory += pss
            count += 1
        return Usage(cpu_s, memory / 2**20, count)

    def signal(self, which: int) -> None:
        """Send the first process a signal."""
        self._process.send_signal(which)

    def stop(self, grace_s: float = 10.0) -> None:
        """Ask the first process to stop, then end what carries the mark."""
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        left = list(self.processes())
        for process in left:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=grace_s)
        self._process.wait()

    def processes(self) -> Iterator[psutil.Process]:
        """Those that carry the mark."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark:
                    yield process
            except psutil.Error:
                continue

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-600:]


def post(address: tuple[str, int], path: str, body: bytes, timeout_s: float = 5.0) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    connection = HTTPConnection(*address, timeout=timeout_s)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@contextmanager
def running(
    command: Sequence[str], variables: Mapping[str, str], *, cpus: Sequence[int], log: Path, stop_signal: int
) -> Iterator[Server]:
    """Start a server and stop it whatever happens."""
    server = Server(command, variables, cpus=cpus, log=log, stop_signal=stop_signal)
    try:
        yield server
    finally:
        server.stop()
