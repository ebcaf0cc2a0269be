"""HTTP/1.1 on the listener's loop: what comes in pieces, what comes too fast, what is too large, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from contracts.messages import MAX_BODY_BYTES
from serving.http1 import MAX_HEAD_BYTES, Connection
from serving.request_queue import RequestQueue
from tests.serving.conftest import Echo

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that the replica has."""
    return "asyncio"


class Client:
    """A socket to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next response."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split()[1]), headers, body

    async def closed(self) -> bool:
        """Whether the server ended the connection."""
        return await asyncio.wait_for(self.reader.read(), 10) == b""


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[Echo, RequestQueue, Client]]:
    """A server with one client."""
    app, loop = Echo(), asyncio.get_running_loop()
    http = RequestQueue(app, loop)
    server = await loop.create_unix_server(lambda: Connection(http), str(path))
    client = Client(*await asyncio.open_unix_connection(str(path)))
    try:
        yield app, http, client
    finally:
        client.writer.close()
        server.close()
        await http.drain(1.0)


async def test_a_request_may_come_byte_by_byte(tmp_path: Path) -> None:
    """Pieces make the same request, and the connection stays."""
    async with serving(tmp_path / "s") as (_, _http, client):
        for _ in range(2):
            for byte in b"POST /a%20b?x=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz":
                client.send(bytes([byte]))
                await asyncio.sleep(0)
            assert await client.answer() == (200, {"content-type": "text/plain", "content-length": "3"}, b"xyz")


async def test_chunked_bodies_and_whole_urls(tmp_path: Path) -> None:
    """A body may come in chunks, and a target may be a whole URL."""
    async with serving(tmp_path / "s") as (_, _http, client):
        client.send(b"POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        assert (await client.answer())[2] == b"abc"
        client.send(b"GET http://host/there?q HTTP/1.1\r\nhost: host\r\n\r\n")
        assert (await client.answer())[2] == b"/there"


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """A quick answer waits for the slow one before it, and all of forty come."""
    async with serving(tmp_path / "s") as (app, _http, client):
        client.send(b"GET /later HTTP/1.1\r\n\r\n" + b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % i for i in range(40)))
        await asyncio.sleep(0.02)
        assert app.log == ["arrived /later"]
        app.release.set()
        assert [(await client.answer())[2] for _ in range(41)] == [b"/later", *(b"/%d" % i for i in range(40))]


async def test_what_arrives_together_is_counted_before_it_is_served(tmp_path: Path) -> None:
    """All but the first, which need not wait: the application sees its queue."""
    async with serving(tmp_path / "s") as (app, _http, first):
        others = [Client(*await asyncio.open_unix_connection(str(tmp_path / "s"))) for _ in range(3)]
        clients = (first, *others)
        for path in (b"/first", b"/"):  # the first one waits until all are connected
            for client in clients:
                client.send(b"GET %b HTTP/1.1\r\n\r\n" % path)
            for client in clients:
                await client.answer()
        assert app.log[-8:] == ["arrived /", "answered / 200"] + ["arrived /"] * 3 + ["answered / 200"] * 3
        for client in others:
            client.writer.close()


async def test_head_and_no_content(tmp_path: Path) -> None:
    """HEAD tells the length and sends nothing."""
    async with serving(tmp_path / "s") as (_, _http, client):
        client.send(b"HEAD /x HTTP/1.1\r\n\r\nGET /y HTTP/1.1\r\n\r\n")
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)
        assert b"content-length: 2" in head
        assert (await client.answer())[2] == b"/y"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n" + b"z" * (MAX_BODY_BYTES + 1), 413),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
async def test_what_cannot_be_read_is_refused_and_closed(tmp_path: Path, request_: bytes, status: int) -> None:
    """Broken, too large and ambiguous requests get a document, and the connection ends."""
    async with serving(tmp_path / "s") as (app, http, client):
        client.send(request_)
        found, headers, body = await client.answer()
        assert (found, headers["connection"]) == (status, "close")
        assert headers["content-type"] == "application/problem+json"
        assert b'"status":%d' % status in body
        assert await client.closed()
        assert app.log == []
        assert http.partial_bytes == 0


async def test_a_client_that_asks_first_is_told_to_go_on(tmp_path: Path) -> None:
    """Expect: 100-continue is answered before the body."""
    async with serving(tmp_path / "s") as (_, _http, client):
        client.send(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ok")
        assert (await client.answer())[2] == b"ok"


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"])
async def test_a_connection_ends_when_its_client_says_so(tmp_path: Path, request_: bytes) -> None:
    """HTTP/1.0 and `connection: close` get one answer."""
    async with serving(tmp_path / "s") as (_, _http, client):
        client.send(request_)
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.closed()


async def test_draining_finishes_what_has_begun(tmp_path: Path) -> None:
    """An idle connection closes at once; one that waits for its answer gets it and then closes."""
    async with serving(tmp_path / "s") as (app, http, client):
        idle = Client(*await asyncio.open_unix_connection(str(tmp_path / "s")))
        client.send(b"GET /later HTTP/1.1\r\n\r\n")
        await app.noted("arrived /later")
        drained = asyncio.create_task(http.drain(5.0))
        assert await idle.closed()
        idle.writer.close()
        app.release.set()
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        await drained


async def test_who_has_left_is_not_served(tmp_path: Path) -> None:
    """A request whose client is gone before its turn gives its place back unanswered."""
    async with serving(tmp_path / "s") as (app, _http, client):
        client.send(b"GET /later HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\n\r\n")
        await app.noted("arrived /later")
        client.writer.close()
        await asyncio.sleep(0.02)
        app.release.set()
        await app.noted("answered /later 200")
        assert "arrived /next" not in app.log


async def test_draining_waits_for_a_request_that_is_coming_in(tmp_path: Path) -> None:
    """A body that has begun is read to its end and answered; a connection that comes later is closed."""
    async with serving(tmp_path / "s") as (_, http, client):
        client.send(b"POST /x HTTP/1.1\r\ncontent-length: 4\r\n\r\nab")
        await asyncio.sleep(0.02)
        drained = asyncio.create_task(http.drain(5.0))
        await asyncio.sleep(0.02)
        client.send(b"cd")
        status, headers, body = await client.answer()
        assert (status, headers["connection"], body) == (200, "close", b"abcd")
        await drained


async def test_large_bodies_that_dribble_leave_room_for_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the bound a large one is refused with a Retry-After, a small one is read; one that never ends gets a 408."""
    monkeypatch.setattr("serving.http1.MAX_PARTIAL_BYTES", 100_000)
    monkeypatch.setattr("serving.http1.MAX_BODY_S", 0.3)
    async with serving(tmp_path / "s") as (_, http, slow):
        large = b"POST / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n"
        slow.send(large + b"x" * 50_000)
        await asyncio.sleep(0.02)
        slow.send(b"x" * 49_000)
        await asyncio.sleep(0.02)
        others = [Client(*await asyncio.open_unix_connection(str(tmp_path / "s"))) for _ in range(2)]
        others[0].send(large + b"x" * 70_000)
        status, headers, _ = await others[0].answer()
        assert (status, headers["retry-after"]) == (503, "1")
        others[1].send(b"POST / HTTP/1.1\r\ncontent-length: 2000\r\n\r\n" + b"y" * 2000)
        assert (await others[1].answer())[0] == 200
        assert (await slow.answer())[0] == 408
        for client in others:
            client.writer.close()
        assert http.partial_bytes == 0
