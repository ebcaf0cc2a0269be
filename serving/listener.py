"""The replica's own listener: an ASGI application on a unix socket, on a thread with an event loop of its own.

Serve's wrapper around a request costs several times what the request does; so Serve places, watches and replaces the
replicas, and requests come straight from the front. The sockets are a fixed set of slots, each held by a lock that ends
with its process: the front knows them all from the start, asks each whether it is ready, and is never reconfigured.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from contracts.errors import TandemError, Unavailable
from serving.problems import PROBLEM_JSON, encode_problem

_START_S: Final = 10.0


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


class _Arrivals(HttpToolsProtocol):
    """Tells the application of a request when its head has come in, not when its turn has.

    All that arrives in one turn of the loop is served one after the other before the loop looks again; an application
    that counted when it is called would never see a queue.
    """

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        app.arrived(cycle.scope)
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Say in a problem document what could not be read."""
        body = encode_problem(400, msg)
        head = (
            b"HTTP/1.1 400 Bad Request",
            b"content-type: " + PROBLEM_JSON,
            b"content-length: %d" % len(body),
            b"connection: close",
        )
        self.transport.write(b"\r\n".join([*head, b"", body]))
        self.transport.close()


class Listener:
    """Serves until stopped. `background` are coroutines that run beside it on the same loop."""

    def __init__(self, app: Any, path: Path, background: tuple[Callable[[], Coroutine[Any, Any, None]], ...]) -> None:
        config = uvicorn.Config(
            app,
            uds=str(path),
            loop="none",
            http=_Arrivals,
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,  # longer than the front keeps a connection: it must be the one that closes
        )
        self._path = path
        self._server = uvicorn.Server(config)
        self._background = background
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Return when the socket takes connections; raises Unavailable where it does not."""
        self._thread.start()
        deadline = threading.Event()
        for _ in range(int(_START_S / 0.01)):
            if self._server.started or not self._thread.is_alive():
                break
            deadline.wait(0.01)
        if not self._server.started:
            raise Unavailable("listener", "not_started", str(self._failure or f"within {_START_S} s"))
        self._path.chmod(0o600)

    def call(self, coroutine: Coroutine[Any, Any, Any], timeout_s: float) -> Any:
        """Run a coroutine on the listener's loop from another thread; raises TimeoutError where the loop is stuck."""
        if self._loop is None or not self._thread.is_alive():
            coroutine.close()
            raise Unavailable("listener", "stopped", str(self._failure or ""))
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Take no new connection, finish what has begun within the time, and end the thread."""
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout_s))
        self._server.should_exit = True
        self._thread.join(timeout_s + 1.0)

    def _run(self) -> None:
        import uvloop  # noqa: PLC0415 - the thread's own; on other platforms the standard loop will do

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._loop = runner.get_loop()
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - kept for whoever asks why the listener is gone
            self._failure = error

    async def _serve(self) -> None:
        tasks = [asyncio.create_task(work()) for work in self._background]
        try:
            # Not serve(): that one takes over the process's signals, which are the actor's.
            await self._server._serve()  # noqa: SLF001
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
