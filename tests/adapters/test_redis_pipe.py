"""One pipelined connection, against a server of a few lines that can be slow, rude or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from adapters.redis_address import Address, parse_url
from adapters.redis_pipe import RedisPipe, command
from contracts.errors import Unavailable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PING = command(b"PING")


def with_server(path: Path, handler: Handler, client: Callable[[RedisPipe], Awaitable[None]]) -> None:
    """Run a client against a server on a unix socket."""

    async def run() -> None:
        server = await asyncio.start_unix_server(handler, path)
        pipe = RedisPipe(f"unix://{path}")
        try:
            await client(pipe)
        finally:
            pipe.close()
            server.close()

    asyncio.run(run())


async def numbers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every PING with how many came before, a byte at a time."""
    count = 0
    while await reader.readuntil(PING):
        for byte in b":%d\r\n" % count:
            writer.write(bytes([byte]))
            await writer.drain()
        count += 1


def test_replies_come_back_to_who_asked(tmp_path: Path) -> None:
    """Requests that share the connection get their own replies, in order."""

    async def client(pipe: RedisPipe) -> None:
        answers = await asyncio.gather(*(pipe.execute(PING * n, n) for n in (1, 3, 2)))
        assert answers == [[0], [1, 2, 3], [4, 5]]

    with_server(tmp_path / "s", numbers, client)


def test_a_read_given_up_does_not_shift_the_others(tmp_path: Path) -> None:
    """The reply of a cancelled read is thrown away, and the next read gets its own."""
    go = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        await numbers(reader, writer)

    async def client(pipe: RedisPipe) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await pipe.execute(PING, 1)
        go.set()
        assert await pipe.execute(PING, 1) == [1]

    with_server(tmp_path / "s", late, client)


@pytest.mark.parametrize("last_words", [b"", b":1\r", b"?what\r\n"])
def test_a_connection_that_breaks_fails_what_waits(tmp_path: Path, last_words: bytes) -> None:
    """A server that goes away, even in mid-reply, or that speaks no Redis, is Unavailable."""

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(PING)
        writer.write(last_words)
        writer.close()

    async def client(pipe: RedisPipe) -> None:
        with pytest.raises(Unavailable):
            await pipe.execute(PING, 1)

    with_server(tmp_path / "s", rude, client)


def test_no_server_is_unavailable_at_once(tmp_path: Path) -> None:
    """Nobody there: each read fails, without a storm of connections."""

    async def run() -> None:
        pipe = RedisPipe(f"unix://{tmp_path / 'nobody'}")
        for _ in range(3):
            with pytest.raises(Unavailable) as caught:
                await pipe.execute(PING, 1)
            assert caught.value.reason == "features_unavailable"

    asyncio.run(run())


def test_urls() -> None:
    """The forms of redis-py's URLs that name one server."""
    assert parse_url("redis://h") == Address("h")
    assert parse_url("rediss://u:p%40@h:7000/2") == Address("h", 7000, "", "u", "p@", 2, tls=True)
    assert parse_url("unix://:p@/run/v.sock?db=1") == Address(path="/run/v.sock", password="p", database=1)  # noqa: S106
    with pytest.raises(ValueError, match="must be"):
        parse_url("http://h")
