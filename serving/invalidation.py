"""Follows `features.invalidated` for one replica's cache: every replica sees every message.

It reads the stream from where it stands, not as a group, on a connection of its own. A store that is away is asked
again; what was written meanwhile is caught up with, and where that can't be (messages trimmed, data lost, a message of
a version that nobody here reads) all that is cached expires.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import hiredis

from adapters.redis_pipe import RedisPipe, command
from contracts.errors import InvalidInput, Unavailable
from contracts.events import FEATURES_INVALIDATED, FeaturesInvalidated, decode_event
from serving.cached_rows import CachedRows

_LOG: Final = logging.getLogger(__name__)
_TOPIC: Final = FEATURES_INVALIDATED.encode()
_AT_ONCE: Final = 100  # messages a read
_SLICE: Final = 1000  # keys expired before requests get their turn


@dataclass(frozen=True)
class InvalidationPolicy:
    """Times in seconds."""

    spread_s: float = 0.02  # changed rows end at moments of this span: replicas do not ask all at once
    spread_all_s: float = 1.0  # the same when everything ends
    block_s: float = 1.0  # a read waits so long for a message
    silent_s: float = 1.0  # beyond that: the server does not answer
    retry_s: float = 0.2


class InvalidationListener:
    """Tells the cache what changed. Its counts are for the metrics."""

    def __init__(
        self,
        pipe: RedisPipe,
        rows: CachedRows,
        policy: InvalidationPolicy | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._pipe, self._rows = pipe, rows
        self._policy = policy or InvalidationPolicy()
        self._sleep, self._uniform = sleep, uniform
        self._position: bytes | None = None  # of the last message seen
        self.connected = False
        self.keys = 0
        self.resets = 0

    async def follow(self) -> None:
        """Listen until cancelled."""
        try:
            while True:
                try:
                    await self._listen()
                except (Unavailable, TimeoutError) as error:
                    if self.connected:
                        _LOG.warning("invalidations are not heard: %s", str(error) or "the server does not answer")
                    self.connected = False
                    self._pipe.close()  # a reply that is still to come would be taken for another's
                    await self._sleep(self._policy.retry_s * (0.5 + self._uniform()))
        finally:
            self._pipe.close()

    async def _listen(self) -> None:
        first, last = await self._ends()
        # Before the position is taken, or what is written in between would be missed.
        missed = self._position is None or _order(last) < _order(self._position) or _order(first) > self._next()
        if missed:
            self._position = last
            await self._expire_all()
        self.connected = True
        while True:
            for position, payload in await self._read():
                self._position = position
                await self._apply(payload)

    async def _apply(self, payload: bytes) -> None:
        try:
            event = decode_event(payload, FeaturesInvalidated)
        except InvalidInput as error:
            _LOG.warning("an invalidation can't be read, all rows expire: %s", error)
            await self._expire_all()
            return
        self.keys += len(event.keys)
        self._rows.invalidate(event.keys, self._policy.spread_s)

    async def _expire_all(self) -> None:
        self.resets += 1
        keys = self._rows.keys()
        for start in range(0, len(keys), _SLICE):
            self._rows.invalidate(keys[start : start + _SLICE], self._policy.spread_all_s)
            await asyncio.sleep(0)

    def _next(self) -> tuple[int, int]:
        """The smallest position after the last message seen."""
        time_ms, sequence = _order(self._position or b"0-0")
        return time_ms, sequence + 1

    async def _ends(self) -> tuple[bytes, bytes]:
        """Positions of the oldest and the newest message; zero where there is none."""
        oldest, newest = (
            command(b"XRANGE", _TOPIC, b"-", b"+", b"COUNT", b"1"),
            command(b"XREVRANGE", _TOPIC, b"+", b"-", b"COUNT", b"1"),
        )
        replies = await self._execute(oldest + newest, 2, self._policy.silent_s)
        first, last = (reply[0][0] if reply else b"0-0" for reply in replies)
        return first, last

    async def _read(self) -> list[tuple[bytes, bytes]]:
        block_ms = round(self._policy.block_s * 1000)
        words = (b"XREAD", b"COUNT", b"%d" % _AT_ONCE, b"BLOCK", b"%d" % block_ms, b"STREAMS", _TOPIC)
        asked = command(*words, self._position or b"0-0")
        (reply,) = await self._execute(asked, 1, self._policy.block_s + self._policy.silent_s)
        if reply is None:
            return []
        ((_, entries),) = reply
        return [
            (position, dict(zip(fields[::2], fields[1::2], strict=True)).get(b"payload", b""))
            for position, fields in entries
        ]

    async def _execute(self, commands: bytes, replies: int, within_s: float) -> list[Any]:
        async with asyncio.timeout(within_s):
            found = await self._pipe.execute(commands, replies)
        for reply in found:
            if isinstance(reply, hiredis.ReplyError):
                raise Unavailable("online store", "features_unavailable", str(reply))
        return found


def _order(position: bytes) -> tuple[int, int]:
    time_ms, _, sequence = position.partition(b"-")
    return int(time_ms), int(sequence)
