"""A server whose answers and stalls are the test's."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Scripted:
    """Answers every request with `answer`, and stands still once for `stall_s` after `stall_after_s`."""

    answer: bytes = OK
    stall_after_s: float = 0.0
    stall_s: float = 0.0
    served: int = 0
    address: tuple[str, int] = ("127.0.0.1", 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _first: float = 0.0

    def take(self) -> bytes:
        """One request's answer; all connections stand still together, as behind one event loop."""
        with self._lock:
            now = time.monotonic()
            self._first = self._first or now
            if self.stall_s and now - self._first >= self.stall_after_s:
                time.sleep(self.stall_s)
                self.stall_s = 0.0
            self.served += 1
        return self.answer


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Start servers on free loopback ports, a thread a connection, and close them."""
    listeners: list[socket.socket] = []

    def start(**script: object) -> Scripted:
        server = Scripted(**script)  # type: ignore[arg-type]
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        listeners.append(listener)
        server.address = listener.getsockname()
        threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
        return server

    yield start
    for listener in listeners:
        listener.close()


def _accept(listener: socket.socket, server: Scripted) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, server), daemon=True).start()


def _serve(connection: socket.socket, server: Scripted) -> None:
    with connection:
        while True:
            try:
                if not connection.recv(1 << 16):  # the tests' requests are smaller than a segment
                    return
                connection.sendall(server.take())
            except OSError:
                return
