"""One pipelined connection to a Redis or Valkey, for reads that have a deadline.

redis-py costs several times the round trip and by default retries until its timeouts mean nothing. Here nothing is
retried: a broken connection fails what waits on it, and the next read connects anew, not more often than `RECONNECT_S`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from typing import Any, Final, cast

import hiredis

from adapters.redis_address import parse_url
from contracts.errors import Unavailable

RECONNECT_S: Final = 0.1
MAX_PENDING: Final = 1024
_CONNECT_S: Final = 1.0


def command(*words: bytes) -> bytes:
    """One command in the Redis protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class RedisPipe:
    """Sends commands as they come and hands the replies out in order. Belongs to one event loop."""

    def __init__(self, url: str) -> None:
        self._address = parse_url(url)
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None
        self._failed_at = -RECONNECT_S

    async def execute(self, commands: bytes, replies: int) -> list[Any]:
        """Send encoded commands and wait for their replies; an error reply is an `hiredis.ReplyError` in the list.

        Raises Unavailable. The caller brings the deadline; a read given up leaves the connection usable.
        """
        connection = self._connection
        if connection is None or connection.closed:
            connection = await self._connect()
        return await connection.send(commands, replies)

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.abort("closed")

    async def _connect(self) -> _Connection:
        if self._connecting is None:
            if time.monotonic() - self._failed_at < RECONNECT_S:
                raise Unavailable("online store", "features_unavailable", "the last connection failed just now")
            self._connecting = asyncio.create_task(self._open())
        # Shielded: one caller's deadline must not take the connection away from the others that wait for it.
        return await asyncio.shield(self._connecting)

    async def _open(self) -> _Connection:
        try:
            async with asyncio.timeout(_CONNECT_S):
                connection = await self._transport()
                await self._greet(connection)
        except (OSError, TimeoutError, Unavailable) as error:
            self._failed_at = time.monotonic()
            raise Unavailable("online store", "features_unavailable", str(error) or type(error).__name__) from error
        finally:
            self._connecting = None
        self._connection = connection
        return connection

    async def _transport(self) -> _Connection:
        loop, address = asyncio.get_running_loop(), self._address
        if address.path:
            _, protocol = await loop.create_unix_connection(_Connection, address.path)
        else:
            context = ssl.create_default_context() if address.tls else None
            _, protocol = await loop.create_connection(_Connection, address.host, address.port, ssl=context)
        return protocol

    async def _greet(self, connection: _Connection) -> None:
        address, commands = self._address, []
        if address.password:
            names = [address.user.encode()] if address.user else []
            commands.append(command(b"AUTH", *names, address.password.encode()))
        if address.database:
            commands.append(command(b"SELECT", b"%d" % address.database))
        for reply in await connection.send(b"".join(commands), len(commands)) if commands else ():
            if isinstance(reply, hiredis.ReplyError):
                connection.abort(str(reply))
                raise Unavailable("online store", "features_unavailable", str(reply))


class _Connection(asyncio.Protocol):
    """Bytes out, replies in, in order."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self._waiting: deque[tuple[int, asyncio.Future[list[Any]]]] = deque()
        self._replies: list[Any] = []
        self._transport: asyncio.Transport | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def send(self, commands: bytes, replies: int) -> list[Any]:
        if self.closed or self._transport is None:
            raise Unavailable("online store", "features_unavailable", "the connection is closed")
        if len(self._waiting) >= MAX_PENDING:  # a server that takes and never answers
            self.abort(f"{MAX_PENDING} reads wait for an answer")
            raise Unavailable("online store", "features_unavailable", "too many reads wait for an answer")
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((replies, future))
        self._transport.write(commands)
        return await future

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while self._waiting and (reply := self._reader.gets()) is not _NOT_YET:
                self._replies.append(reply)
                if len(self._replies) == self._waiting[0][0]:
                    _, future = self._waiting.popleft()
                    if not future.done():  # its caller may have given up
                        future.set_result(self._replies)
                    self._replies = []
        except hiredis.ProtocolError as error:
            self.abort(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc or "the server closed the connection"))

    def abort(self, reason: str) -> None:
        if self._transport:
            self._transport.abort()
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self.closed = True
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(Unavailable("online store", "features_unavailable", reason))


_NOT_YET: Final = object()
