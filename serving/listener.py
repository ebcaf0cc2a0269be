"""The replica's own listener: an application on a unix socket, on a thread with an event loop of its own.

Serve's wrapper around a request costs several times what the request does; so Serve places, watches and replaces the
replicas, and requests come straight from the front. The sockets are a fixed set of slots, each held by a lock that ends
with its process: the front knows them all from the start, asks each whether it is ready, and is never reconfigured.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from contracts.errors import TandemError, Unavailable
from serving.http1 import Connection
from serving.request_queue import Application, RequestQueue

_LOG: Final = logging.getLogger(__name__)
_START_S: Final = 10.0
_BACKLOG: Final = 4096
_THREADS: Final = 4  # model calls of hundreds of rows, SQL


class NoFreeSlot(TandemError):
    """More replicas than sockets; the front has no place for this one."""

    def __init__(self, folder: Path, slots: int) -> None:
        super().__init__(f"{folder}: all {slots} replica sockets are in use")


def socket_path(folder: Path, slot: int) -> Path:
    """The socket of a slot."""
    return folder / f"replica-{slot}.sock"


def grpc_path(folder: Path, slot: int) -> Path:
    """The gRPC socket of a slot."""
    return folder / f"replica-{slot}-grpc.sock"


def admin_path(folder: Path) -> Path:
    """The socket of the admin API."""
    return folder / "admin.sock"


def claim_slot(folder: Path, slots: int) -> tuple[int, int]:
    """Take the first free slot: its lock's descriptor, to be kept open, and its number. Raises NoFreeSlot."""
    for slot in range(slots):
        lock = os.open(folder / f"replica-{slot}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        for path in (socket_path(folder, slot), grpc_path(folder, slot)):
            path.unlink(missing_ok=True)  # of one that was killed
        return lock, slot
    raise NoFreeSlot(folder, slots)


class Listener:
    """Serves until stopped. `background` are coroutines that run beside it on the same loop.

    `cpu` is the processor that the loop keeps to.
    """

    def __init__(
        self,
        app: Application,
        path: Path,
        background: tuple[Callable[[], Coroutine[Any, Any, None]], ...],
        *,
        cpu: int | None = None,
    ) -> None:
        self._app = app
        self._cpu = cpu
        self._path = path
        self._background = background
        self._drain_s = 0.0
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Return when the socket takes connections; raises Unavailable where it does not."""
        self._thread.start()
        self._started.wait(_START_S)
        if self._failure or not self._started.is_set():
            raise Unavailable("listener", "not_started", str(self._failure or f"within {_START_S} s"))

    def call(self, coroutine: Coroutine[Any, Any, Any], timeout_s: float) -> Any:
        """Run a coroutine on the listener's loop from another thread; raises TimeoutError where the loop is stuck."""
        if self._loop is None or not self._thread.is_alive() or self._failure:
            coroutine.close()
            raise Unavailable("listener", "stopped", str(self._failure or ""))
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Take no new connection, finish what has begun within the time, and end the thread."""
        self._drain_s = timeout_s
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout_s + 1.0)

    def _run(self) -> None:
        import uvloop  # noqa: PLC0415 - the thread's own; on other platforms the standard loop will do

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - kept for whoever asks why the listener is gone
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        everywhere = os.sched_getaffinity(0)
        if self._cpu is not None:
            os.sched_setaffinity(0, {self._cpu})  # this thread, and those that it starts, but for the ones below
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, "beside", os.sched_setaffinity, (0, everywhere)))
        queue = RequestQueue(self._app, loop)
        server = await loop.create_unix_server(lambda: Connection(queue), str(self._path), backlog=_BACKLOG)
        self._path.chmod(0o600)
        tasks = [asyncio.create_task(work()) for work in self._background]
        for task in tasks:
            task.add_done_callback(self._ended)
        self._started.set()
        try:
            await self._stop.wait()
            server.close()
        finally:
            for task in tasks:  # gRPC drains when it is cancelled, at the same time
                task.cancel()
            await asyncio.gather(queue.drain(self._drain_s), *tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whoever asks for this listener's health hears of a background task that is gone."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            _LOG.error("the listener lost a background task", exc_info=error)
