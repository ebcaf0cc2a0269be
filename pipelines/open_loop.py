"""Sends HTTP requests at their times, whether or not those before were answered; time counts from when each was due."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

_CONNECTIONS: Final = 128
_TIMEOUT_S: Final = 10.0
_MOST_BYTES: Final = 1 << 22


class Request(NamedTuple):
    """A POST that is due at a time of the clock that `send_all` is given."""

    due: float
    path: str
    body: bytes
    tag: int  # what the caller knows it by


class Answer(NamedTuple):
    """What came of it; status 0 where nothing did, and then the body is a word for why."""

    request: Request
    status: int
    body: bytes
    took_s: float


async def send_all(
    address: tuple[str, int],
    requests: Iterable[Request],
    took: Callable[[Answer], None],
    *,
    connections: int = _CONNECTIONS,
    timeout_s: float = _TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send requests, in the order of their times, and return when each has an answer or none.

    Who finds all connections busy waits, and the wait is in the figure; what is not answered within the limit is given
    up. `took` is called for each on the loop.
    """
    waiting: asyncio.Queue[Request | None] = asyncio.Queue()
    workers: list[asyncio.Task[None]] = []
    idle = 0

    async def work() -> None:
        nonlocal idle
        connection = _Connection(address)
        try:
            while True:
                idle += 1
                request = await waiting.get()
                idle -= 1
                if request is None:
                    return
                status, body = await connection.post(request, request.due + timeout_s - clock())
                took(Answer(request, status, body, clock() - request.due))
        finally:
            connection.close()

    for request in requests:
        if (wait_s := request.due - clock()) > 0:
            await asyncio.sleep(wait_s)
        if waiting.qsize() >= idle and len(workers) < connections:
            workers.append(asyncio.create_task(work()))
        waiting.put_nowait(request)
        if wait_s <= 0:
            await asyncio.sleep(0)  # late: those who have what they wait for get their turn
    for _ in workers:
        waiting.put_nowait(None)
    await asyncio.gather(*workers)


class _Connection:
    """One connection, made when it is needed and again after a failure."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: Request, within_s: float) -> tuple[int, bytes]:
        if within_s <= 0:
            return 0, b"timeout"
        try:
            async with asyncio.timeout(within_s):
                return await self._post(request)
        except TimeoutError:
            self.close()
            return 0, b"timeout"
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            return 0, type(error).__name__.encode()

    def close(self) -> None:
        if self._streams:
            with suppress(OSError):
                self._streams[1].close()
            self._streams = None

    async def _post(self, request: Request) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=_MOST_BYTES)
        reader, writer = self._streams
        host, port = self._address
        head = f"POST {request.path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(request.body)}\r\n\r\n".encode() + request.body)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines) if name
        }
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return int(status.split()[1]), body
