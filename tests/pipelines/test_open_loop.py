"""Requests at their times against a real server: what is slow delays no other, what fails is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from pipelines.open_loop import Answer, Request, send_all

Handler = Callable[[bytes], Awaitable[bytes | None]]


async def ask(handler: Handler, bodies: list[tuple[float, bytes]], **options: float) -> list[Answer]:
    """Serve, and send bodies at so many seconds from now."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                answer = await handler(await reader.readexactly(size))
                if answer is None:
                    break
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    address = server.sockets[0].getsockname()
    loop, found = asyncio.get_running_loop(), list[Answer]()
    began = loop.time()
    requests = [Request(began + at, "/v1/x", body, i) for i, (at, body) in enumerate(bodies)]
    try:
        await send_all(address, requests, found.append, clock=loop.time, **options)  # type: ignore[arg-type]
    finally:
        server.close()
    return found


def ok(body: bytes, headers: bytes = b"") -> bytes:
    """A 200 that repeats the body."""
    return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (headers, len(body), body)


def test_everything_is_answered_and_known_by_its_tag() -> None:
    """Kept and closed connections alike."""

    async def handler(body: bytes) -> bytes:
        return ok(body, b"Connection: close\r\n" if int(body) % 3 == 0 else b"")

    found = asyncio.run(ask(handler, [(i / 2000, b"%d" % i) for i in range(200)]))
    assert sorted(answer.request.tag for answer in found) == list(range(200))
    assert all(answer.status == 200 and int(answer.body) == answer.request.tag for answer in found)


def test_a_slow_answer_delays_no_other_and_its_wait_is_in_the_figure() -> None:
    """Until all connections are busy: then the time before it was sent counts, too."""

    async def handler(body: bytes) -> bytes:
        if body == b"slow":
            await asyncio.sleep(0.3)
        return ok(body)

    found = asyncio.run(ask(handler, [(0, b"slow"), (0.01, b"fast")]))
    took = {answer.body: answer.took_s for answer in found}
    assert took[b"slow"] >= 0.3
    assert took[b"fast"] < 0.25
    alone = asyncio.run(ask(handler, [(0, b"slow"), (0.01, b"fast")], connections=1))
    assert {answer.body: answer.took_s for answer in alone}[b"fast"] >= 0.25


@pytest.mark.parametrize("word", ["close", "nonsense", "hang"])
def test_what_gets_no_answer_has_a_word_for_why(word: str) -> None:
    """A connection that ends, an answer that is none, and silence; the next request has a new connection."""

    async def handler(body: bytes) -> bytes | None:
        if body != b"bad":
            return ok(body)
        if word == "hang":
            await asyncio.sleep(30)
        return None if word == "close" else b"SSH-2.0 hello\r\n\r\n"

    found = asyncio.run(ask(handler, [(0, b"bad"), (0.5, b"good")], connections=1, timeout_s=0.4))
    assert Counter(answer.status for answer in found) == {0: 1, 200: 1}
    (failed,) = [answer for answer in found if not answer.status]
    assert failed.body == {"close": b"IncompleteReadError", "nonsense": b"ValueError", "hang": b"timeout"}[word]
