"""Caches hear of writes: on a real Valkey that comes and goes, trims and forgets."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from adapters.invalidations import invalidations_stream, publish_invalidations
from adapters.online_store import RedisOnlineStore
from adapters.online_writer import MICRO, RedisOnlineWriter, Upsert
from adapters.redis_pipe import RedisPipe
from adapters.redis_stream import RedisStream, RedisStreamPolicy
from adapters.valkey import EmbeddedValkey, embedded_valkey
from contracts.clock import SystemClock
from contracts.events import FEATURES_INVALIDATED, MAX_INVALIDATED
from serving.cached_rows import CachedRows, CachePolicy
from serving.invalidation import InvalidationListener, InvalidationPolicy
from tests.fakes import VIEWS, WIDTH

ZONES = [("zone", str(i)) for i in range(3)]
QUICK = InvalidationPolicy(spread_s=0.0, spread_all_s=0.0, block_s=0.2, silent_s=0.3, retry_s=0.05)


class Server:
    """A Valkey of the test's own, to kill and to stop."""

    def __init__(self, folder: Path) -> None:
        self.at: EmbeddedValkey = embedded_valkey(folder / "data", folder)
        self.at.configure()

    def start(self) -> None:
        """Return when it answers."""
        self.process = subprocess.Popen(self.at.command(), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self.at.ready():
            assert time.monotonic() < deadline

    def kill(self) -> None:
        """As the machine's out-of-memory killer would."""
        self.process.kill()
        self.process.wait()


class Replica:
    """A cache and its listener, beside a writer."""

    def __init__(self, at: EmbeddedValkey) -> None:
        store = RedisOnlineStore(RedisPipe(at.socket_url), VIEWS)
        self.rows = CachedRows(store, WIDTH, CachePolicy(ttl_s=600.0, deadline_s=1.0), SystemClock())
        self.listener = InvalidationListener(RedisPipe(at.socket_url), self.rows, QUICK)

    async def speeds(self) -> list[float]:
        """What requests see of each zone."""
        return [float(row[2]) for row in await self.rows.read(ZONES)]

    async def see(self, expected: list[float], within_s: float = 5.0) -> None:
        """Wait until they see this."""
        await until(self.speeds, expected, within_s)


async def until(ask: Callable[[], Any], expected: Any, within_s: float = 5.0) -> None:
    """Wait for an answer."""
    deadline = time.monotonic() + within_s
    while (found := await ask()) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(one: Replica) -> AsyncIterator[None]:
    """Follow while it lasts."""
    task = asyncio.create_task(one.listener.follow())
    try:
        await connected(one)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def replicas(at: EmbeddedValkey, count: int) -> AsyncIterator[list[Replica]]:
    """Replicas that listen."""
    found = [Replica(at) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for one in found:
            await stack.enter_async_context(listening(one))
            stack.push_async_callback(one.rows.close)
        yield found


async def heard(one: Replica, keys: int) -> None:
    """Wait until it was told of so many keys."""

    async def ask() -> int:
        return one.listener.keys

    await until(ask, keys)


async def connected(one: Replica, *, state: bool = True) -> None:
    """Wait for the listener to have, or to have lost, its server."""

    async def ask() -> bool:
        return one.listener.connected

    await until(ask, expected=state)


def write(at: EmbeddedValkey, speeds: list[float], *, tell: bool = True) -> None:
    """New values for all zones, and word of it."""
    writer, stream, now = RedisOnlineWriter(at.url, VIEWS), invalidations_stream(at.url), time.time()
    rows = [Upsert("zone_live", key, round(now * MICRO), (1.0, v)) for (_, key), v in zip(ZONES, speeds, strict=True)]
    assert writer.upsert(rows, now) == ["written"] * 3
    if tell:
        publish_invalidations(stream, ZONES)
    writer.close()
    stream.close()


def test_every_replica_sees_every_write(valkey: EmbeddedValkey) -> None:
    """Without word of it a cached row stays; with it, all replicas read anew, each key once."""

    async def run() -> None:
        async with replicas(valkey, 3) as those:
            write(valkey, [1.0, 1.0, 1.0])
            for one in those:
                await heard(one, 3)
                await one.see([1.0, 1.0, 1.0])
            write(valkey, [2.0, 2.0, 2.0], tell=False)
            for one in those:
                assert await one.speeds() == [1.0, 1.0, 1.0]
            reads = [one.rows.reads for one in those]
            write(valkey, [3.0, 3.0, 3.0])
            for one in those:
                await one.see([3.0, 3.0, 3.0])
            assert [one.rows.reads for one in those] == [before + 1 for before in reads]
            assert all(one.listener.resets == 1 for one in those)

    asyncio.run(run())


def test_what_was_written_while_the_store_was_away_is_caught_up_with(tmp_path: Path) -> None:
    """Killed and restarted with its file: the replica goes on from where it was, and drops nothing else."""
    server = Server(tmp_path)
    server.start()

    async def run() -> None:
        async with replicas(server.at, 1) as (one,):
            write(server.at, [1.0, 1.0, 1.0])
            await heard(one, 3)
            await one.see([1.0, 1.0, 1.0])
            server.kill()
            await connected(one, state=False)
            assert await one.speeds() == [1.0, 1.0, 1.0]
            server.start()
            write(server.at, [2.0, 2.0, 2.0])
            await one.see([2.0, 2.0, 2.0])
            assert one.listener.resets == 1

    try:
        asyncio.run(run())
    finally:
        server.kill()


def test_a_store_that_stops_answering_is_noticed(tmp_path: Path) -> None:
    """SIGSTOP: the listener lets the connection go, and hears again after SIGCONT."""
    server = Server(tmp_path)
    server.start()

    async def run() -> None:
        async with replicas(server.at, 1) as (one,):
            server.process.send_signal(signal.SIGSTOP)
            await connected(one, state=False)
            server.process.send_signal(signal.SIGCONT)
            await connected(one)
            write(server.at, [4.0, 4.0, 4.0])
            await one.see([4.0, 4.0, 4.0])

    try:
        asyncio.run(run())
    finally:
        server.kill()


@pytest.mark.parametrize("gap", ["trimmed", "lost"])
def test_after_a_gap_all_rows_expire(tmp_path: Path, gap: str) -> None:
    """Messages that can't be read any more named rows that nobody knows: everything is read anew."""
    server = Server(tmp_path)
    server.start()

    async def run() -> None:
        one = Replica(server.at)
        async with listening(one):
            write(server.at, [1.0, 1.0, 1.0])
            await heard(one, 3)
            await one.see([1.0, 1.0, 1.0])
        if gap == "lost":
            server.kill()
            shutil.rmtree(server.at.data / "appendonlydir")
            server.start()
        write(server.at, [2.0, 2.0, 2.0])
        if gap == "trimmed":
            with redis.Redis.from_url(server.at.url) as client:
                client.xtrim(FEATURES_INVALIDATED, maxlen=0, approximate=False)
        assert await one.speeds() == [1.0, 1.0, 1.0]
        async with listening(one):
            await one.see([2.0, 2.0, 2.0])
        assert one.listener.resets == 2
        await one.rows.close()

    try:
        asyncio.run(run())
    finally:
        server.kill()


def test_a_message_that_nobody_can_read_expires_all_rows(valkey: EmbeddedValkey) -> None:
    """A newer version may name anything."""

    async def run() -> None:
        async with replicas(valkey, 1) as (one,):
            write(valkey, [1.0, 1.0, 1.0])
            await heard(one, 3)
            await one.see([1.0, 1.0, 1.0])
            write(valkey, [5.0, 5.0, 5.0], tell=False)
            stream = RedisStream(valkey.url, RedisStreamPolicy())
            stream.publish(FEATURES_INVALIDATED, [("", b'{"schema_version": 2, "everything": true}')])
            stream.close()
            await one.see([5.0, 5.0, 5.0])
            assert one.listener.resets == 2

    asyncio.run(run())


def test_keys_go_out_once_in_messages_of_a_bounded_size(valkey: EmbeddedValkey) -> None:
    """Repeated keys are one, many keys are several messages."""
    stream = invalidations_stream(valkey.url)
    with redis.Redis.from_url(valkey.url) as client:
        client.delete(FEATURES_INVALIDATED)
        keys = [("zone", str(i)) for i in range(MAX_INVALIDATED + 1)]
        assert publish_invalidations(stream, [*keys, *keys]) == MAX_INVALIDATED + 1
        assert publish_invalidations(stream, []) == 0
        assert client.xlen(FEATURES_INVALIDATED) == 2
    stream.close()
