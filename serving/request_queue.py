"""The queue between connections and the application, on one event loop.

A request that can be answered at once is answered without a task of its own. Of what arrives in one turn of the loop
the first is served at once and the rest counted before any of it is served, so that the application sees its queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from serving.exchange import Answer, Request

_AT_A_TIME: Final = 8  # requests served before the loop looks for news: answers of the store, health checks
_TURN_S: Final = 0.001  # the same, where requests take longer
_GONE: Final = Answer(499, b"")  # the client left before its turn


class Application(Protocol):
    """What requests are handed to."""

    def arrived(self, request: Request) -> Answer | None:
        """A request has come in: it joins the queue, unless it is turned away at once with an answer."""
        ...

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """Its turn has come; never raises, nor does what is awaited."""
        ...

    def answered(self, request: Request, answer: Answer) -> None:
        """The answer was sent."""
        ...


class Caller(Protocol):
    """The connection that a request came from."""

    closed: bool

    def respond(self, request: Request, answer: Answer) -> None:
        """Send an answer."""
        ...

    def close_if_idle(self) -> None:
        """Close between requests."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class RequestQueue:
    """The queue between connections and the application."""

    def __init__(self, app: Application, loop: asyncio.AbstractEventLoop) -> None:
        self.connections: set[Caller] = set()
        self.partial_bytes = 0
        self.closing = False
        self.left = asyncio.Event()  # a connection has ended
        self._app = app
        self._loop = loop
        self._ready: deque[tuple[Caller, Request]] = deque()
        self._turn_taken = False  # `_serve` is due, and requests queue until then
        self._tasks: set[asyncio.Task[None]] = set()

    def soon(self, call: Callable[[], None]) -> None:
        """Let something happen in the loop's next turn."""
        self._loop.call_soon(call)

    def take(self, connection: Caller, request: Request) -> None:
        """Queue a request, or turn it away: who can't be served should not wait to hear it."""
        refused = self._app.arrived(request)
        if refused is not None:
            connection.respond(request, refused)
            self._app.answered(request, refused)
            return
        if self._turn_taken:
            self._ready.append((connection, request))
            return
        # The first of a turn need not wait for the next one; what else has arrived by then is counted meanwhile.
        self._turn_taken = True
        self._loop.call_soon(self._serve)
        self._serve_one(connection, request)

    async def drain(self, limit_s: float) -> None:
        """Close what is idle, finish what has begun within the time, and close that, too."""
        self.closing = True
        for connection in tuple(self.connections):
            connection.close_if_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self.connections:
                    await self.left.wait()
                    self.left.clear()
        for connection in tuple(self.connections):
            connection.abort()

    def _serve(self) -> None:
        ready, end = self._ready, time.perf_counter() + _TURN_S
        try:
            for _ in range(min(len(ready), _AT_A_TIME)):
                self._serve_one(*ready.popleft())
                if time.perf_counter() > end:
                    break
        finally:
            self._turn_taken = bool(ready)
            if ready:
                self._loop.call_soon(self._serve)

    def _serve_one(self, connection: Caller, request: Request) -> None:
        if connection.closed:
            self._app.answered(request, _GONE)
            return
        try:
            answer = self._app.answer(request)
        except Exception:
            self._app.answered(request, _GONE)
            connection.abort()
            raise
        if isinstance(answer, Answer):
            connection.respond(request, answer)
            self._app.answered(request, answer)
        else:
            task = self._loop.create_task(self._later(connection, request, answer, time.perf_counter()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _later(self, connection: Caller, request: Request, answer: Awaitable[Answer], created: float) -> None:
        if request.call:  # until the task began others had the loop
            request.call.waited_s += time.perf_counter() - created
        answered = _GONE
        try:
            answered = await answer
            connection.respond(request, answered)
        finally:
            self._app.answered(request, answered)
