"""An open-loop HTTP/1.1 load generator: latency counts from when a request was due, not from when it could be sent."""

from __future__ import annotations

import ctypes
import gc
import itertools
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.http1 import Response, parse
from bench.trace import Look, Trace, nothing

MAX_CONNECTIONS = 256
IDLE_LIMIT_S = 2.0  # under every server's keep-alive, so that no request meets a connection being closed
DRAIN_S = 2.0  # what is unanswered this long after the last send has failed
_PR_SET_TIMERSLACK = 29


@dataclass(frozen=True)
class Outcome:
    """What a step of load came to. Latencies are in ms from the intended send time, of answered requests only."""

    rate: float
    duration_s: float
    sent: int
    answered: int
    errors: dict[str, int]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float  # how long after its time a request was noticed: the generator's own fault, in all figures above

    @property
    def failed(self) -> int:
        """Requests without a 200, those never sent included."""
        return sum(self.errors.values())


def schedule(rate: float, duration_s: float, *, seed: int | None) -> np.ndarray:
    """Send times in seconds from the start, float64 [rate * duration]: evenly spaced, or Poisson where seeded."""
    n = max(1, round(rate * duration_s))
    if seed is None:
        return np.arange(n) / rate
    gaps = np.random.default_rng(seed).exponential(1 / rate, n)
    return np.asarray(np.cumsum(gaps) * (duration_s / gaps.sum()))


class _Connection:
    """One socket with at most one request in flight; `due` is that request's intended time."""

    __slots__ = ("buffer", "connected", "due", "outgoing", "sock", "used")

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex(address)
        self.buffer = b""
        self.outgoing = b""
        self.connected = False
        self.due = -1.0
        self.used = 0.0

    def flush(self) -> None:
        """Send what the kernel takes now; the rest goes when the socket is writable."""
        self.outgoing = self.outgoing[self.sock.send(self.outgoing) :]


class _Step:
    """The event loop of one step. A select on the epoll wakes to the microsecond, where epoll itself rounds to 1 ms."""

    def __init__(
        self, address: tuple[str, int], requests: Iterator[bytes], due: np.ndarray, look: Look = nothing
    ) -> None:
        self.look = look
        self.start = 0.0
        self.answers: list[tuple[float, float, int, str]] = []  # due, seconds, status, what `look` saw
        self.address = address
        self.requests = requests
        self.due = due.tolist()
        self.epoll = select.epoll()
        self.connections: dict[int, _Connection] = {}
        self.idle: list[_Connection] = []
        self.waiting: deque[float] = deque()
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.sent = 0
        self.late: list[float] = []

    def run(self) -> None:
        start = self.start = time.perf_counter() + 0.01
        position, total = 0, len(self.due)
        end = start + self.due[-1] + DRAIN_S
        now = time.perf_counter()
        while now < end and len(self.latencies) + sum(self.errors.values()) < total:
            while position < total and start + self.due[position] <= now:
                self.waiting.append(start + self.due[position])
                self.late.append(now - self.waiting[-1])
                position += 1
            self._send(now)
            wake = start + self.due[position] if position < total else end
            timeout = max(0.0, wake - time.perf_counter())
            if select.select([self.epoll], (), (), timeout)[0]:
                for descriptor, event in self.epoll.poll(0):
                    self._on_event(self.connections[descriptor], event)
            now = time.perf_counter()
        self.errors["dropped"] += len(self.waiting)
        self.errors["timeout"] += sum(c.due >= 0 for c in self.connections.values())

    def close(self) -> None:
        for connection in self.connections.values():
            connection.sock.close()
        self.epoll.close()

    def _send(self, now: float) -> None:
        while self.waiting:
            connection = self._free(now)
            if connection is None:
                return
            connection.due = self.waiting.popleft()
            connection.outgoing = next(self.requests)
            self.sent += 1
            if connection.connected:
                self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        try:
            connection.flush()
        except OSError as error:
            self._fail(connection, type(error).__name__)
            return
        if connection.outgoing:
            self.epoll.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)

    def _free(self, now: float) -> _Connection | None:
        """The connection used last, else a new one, else none: the request waits here and its clock runs."""
        while self.idle:
            connection = self.idle.pop()
            if now - connection.used < IDLE_LIMIT_S:
                return connection
            self._drop(connection)
        if len(self.connections) >= MAX_CONNECTIONS:
            return None
        connection = _Connection(self.address)
        self.connections[connection.sock.fileno()] = connection
        self.epoll.register(connection.sock, select.EPOLLOUT)
        return connection

    def _on_event(self, connection: _Connection, event: int) -> None:
        if event & select.EPOLLOUT:
            connection.connected = True
            self.epoll.modify(connection.sock, select.EPOLLIN)
            self._flush(connection)
            return
        try:
            data = connection.sock.recv(1 << 18)
        except OSError as error:
            self._fail(connection, type(error).__name__)
            return
        if not data:
            self._fail(connection, "closed")
            return
        connection.buffer += data
        response = parse(connection.buffer)
        if isinstance(response, Response):
            self._answer(connection, response)

    def _answer(self, connection: _Connection, response: Response) -> None:
        now = time.perf_counter()
        self.answers.append((connection.due, now - connection.due, response.status, self.look(response.body)))
        if response.status == 200:
            self.latencies.append(now - connection.due)
        else:
            self.errors[f"http_{response.status}"] += 1
        connection.due, connection.buffer, connection.used = -1.0, b"", now
        if response.close:
            self._drop(connection)
        else:
            self.idle.append(connection)

    def _fail(self, connection: _Connection, reason: str) -> None:
        if connection.due >= 0:
            self.errors[reason] += 1
        elif connection in self.idle:
            self.idle.remove(connection)
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        del self.connections[connection.sock.fileno()]
        connection.sock.close()


def step(
    address: tuple[str, int], requests: Sequence[bytes], *, rate: float, duration_s: float, seed: int | None = 1
) -> Outcome:
    """Send `requests` (whole HTTP messages, cycled) at `rate` per second for `duration_s`, and wait for the answers.

    Every latency is kept, so percentiles are exact. A request that finds all connections busy waits and its latency
    grows; one that was not answered in the drain time counts as an error, sent or not.
    """
    running = _run(address, requests, schedule(rate, duration_s, seed=seed), seed or 0, nothing)
    latencies = np.array(running.latencies or [np.nan]) * 1e3
    p50, p95, p99, worst = np.percentile(latencies, [50, 95, 99, 100])
    return Outcome(
        rate=rate,
        duration_s=duration_s,
        sent=running.sent,
        answered=len(running.latencies),
        errors=dict(+running.errors),
        p50_ms=round(float(p50), 3),
        p95_ms=round(float(p95), 3),
        p99_ms=round(float(p99), 3),
        max_ms=round(float(worst), 3),
        late_p99_ms=round(float(np.percentile(running.late, 99)) * 1e3, 3),
    )


def trace(
    address: tuple[str, int],
    requests: Sequence[bytes],
    *,
    rate: float,
    duration_s: float,
    seed: int | None = 1,
    look: Look = nothing,
) -> Trace:
    """Send like `step`, and keep every answer apart; `look` takes a word from each body."""
    due = schedule(rate, duration_s, seed=seed)
    running = _run(address, requests, due, seed or 0, look)
    answers = sorted(running.answers)
    return Trace(
        rate=rate,
        duration_s=duration_s,
        began=running.start,
        sent=len(due),
        due_s=np.array([at - running.start for at, *_ in answers]),
        latency_ms=np.array([seconds * 1e3 for _, seconds, *_ in answers]),
        status=np.array([status for _, _, status, _ in answers], dtype=int),
        words=[word for *_, word in answers],
        lost={name: n for name, n in running.errors.items() if n and not name.startswith("http_")},
    )


def _run(address: tuple[str, int], requests: Sequence[bytes], due: np.ndarray, seed: int, look: Look) -> _Step:
    # The default 50 µs of timer slack would be added to every latency.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)
    offset = seed * 7919 % len(requests)
    running = _Step(address, itertools.islice(itertools.cycle(requests), offset, None), due, look)
    gc.collect()
    gc.disable()
    try:
        running.run()
    finally:
        gc.enable()
        running.close()
    return running
