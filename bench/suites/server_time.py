"""Server time of a request: the replica's HTTP server driven in this process, with a real Valkey behind it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import uvloop

from bench.acceptance import Line, at_most
from bench.exercise import Exercise
from bench.markdown import table
from bench.online import Online
from bench.profile import Profile, stages
from bench.rows import tandem
from bench.suite import Bench, Suite
from bench.wire import EtaTrips
from serving.http1 import Connection
from serving.replica import Replica, compose
from serving.request_queue import RequestQueue
from serving.settings import load_settings

SIZES = (1, 32)
WARM_TRIPS = 320
CALLS = {1: 20_000, 32: 3_000}
SAMPLE_S = 0.0005


class Wire:
    """The other end of a connection without a socket: keeps the last answer, and when it was written."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.data = b""
        self.at = 0.0

    def write(self, data: bytes) -> None:
        """Take an answer."""
        self.at, self.data = time.perf_counter(), data
        self.answered.set()

    def close(self) -> None:
        """Nothing to close."""

    abort = pause_reading = resume_reading = close

    def is_closing(self) -> bool:
        """Never."""
        return False


class Driver:
    """One connection of the replica's own HTTP server, from the request's bytes to the answer's."""

    def __init__(self, replica: Replica) -> None:
        self._wire = Wire()
        self._connection = Connection(RequestQueue(replica.api, asyncio.get_running_loop()))
        self._connection.connection_made(self._wire)  # type: ignore[arg-type]

    async def ask(self, request: bytes) -> tuple[float, bytes]:
        """Seconds from the bytes that came in to the bytes that went out, and these."""
        wire = self._wire
        wire.answered.clear()
        begin = time.perf_counter()
        self._connection.data_received(request)  # type: ignore[attr-defined]
        await wire.answered.wait()
        return wire.at - begin, wire.data


def run(bench: Bench) -> dict[str, Any]:
    """Time requests one by one, then sample where the processor is while they run again."""
    with bench.ground() as ground:
        site = bench.site(ground)
        tandem.prepare(site)
        replica = compose(load_settings(tandem.variables(site) | {"TANDEM_REDIS_URL": ground.socket_url}))
        replica.start()
        try:
            rows = uvloop.run(_all(replica, bench, ground))
            written = replica.log.records
        finally:
            replica.close()
            gc.unfreeze()
    return {"rows": rows, "logged": written}


async def _all(replica: Replica, bench: Bench, ground: Online) -> list[dict[str, Any]]:
    """One loop for all, since the connection to Valkey belongs to it."""
    rows, driver = [], Driver(replica)
    followers = [asyncio.create_task(follow()) for follow in replica.followers]
    for size in SIZES:
        row = await _timed(driver, bench, ground, size, CALLS[size] // (20 if bench.quick else 1))
        bench.say(f"server_time: {size} trips: p50 {row['p50_us']} p99 {row['p99_us']} µs")
        rows.append(row)
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    return rows


async def _timed(driver: Driver, bench: Bench, ground: Online, size: int, calls: int) -> dict[str, Any]:
    exercise = ground.exercise(bench.model, size)
    requests = Exercise(exercise.items[:WARM_TRIPS], exercise.expected_s).messages(EtaTrips(), size)
    for request in requests * 3:
        _, answer = await driver.ask(request)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        EtaTrips().etas(body)  # raises where one is a fallback
    seconds = await _run(driver, requests, calls)
    profile = Profile(SAMPLE_S)
    with profile:
        await _run(driver, requests, calls)
    p50, p95, p99 = (round(float(value) * 1e6, 1) for value in np.percentile(seconds, [50, 95, 99]))
    mean_us = float(seconds.mean()) * 1e6
    shares = profile.shares()
    return {
        "trips": size,
        "calls": calls,
        "p50_us": p50,
        "p95_us": p95,
        "p99_us": p99,
        "mean_us": round(mean_us, 1),
        "samples": profile.samples,
        "stages": {name: round(share * p50, 1) for name, share in stages(shares).items()},
        "functions": {name: round(share, 4) for name, share in list(shares.items())[:25]},
    }


async def _run(driver: Driver, requests: list[bytes], calls: int) -> np.ndarray:
    seconds = np.empty(calls)
    for i in range(calls):
        seconds[i], _ = await driver.ask(requests[i % len(requests)])
    return seconds


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Judge one trip."""
    return [at_most("Server time of one trip, warm, p50", result["rows"][0]["p50_us"], 250, " µs", 0)]


def page(result: dict[str, Any]) -> str:
    """Tell the times, and where they go."""
    rows = [[f"{r['trips']} trips", r["p50_us"], r["p95_us"], r["p99_us"], r["calls"]] for r in result["rows"]]
    times = table(["server time", "p50 µs", "p95 µs", "p99 µs", "requests"], rows)
    names = list(dict.fromkeys(name for r in result["rows"] for name in r["stages"]))
    spent = [[name, *(r["stages"].get(name) for r in result["rows"])] for name in names]
    where = table(["where it goes, µs of the p50", *(f"{r['trips']} trips" for r in result["rows"])], spent)
    functions = [[f"`{name}`", 100 * share] for name, share in list(result["rows"][0]["functions"].items())[:15]]
    top = table(["function, one trip, with the libraries it calls", "%"], functions)
    return (
        f"{times}\n\nThe replica as it is composed for production, prediction log on, from a request's bytes to its "
        "answer's on a connection without a socket; warm: every key is in the cache.\n\n"
        f"{where}\n\nBy {result['rows'][0]['samples']:,} samples, each given to the innermost function of ours.\n\n"
        f"{top}"
    )


SUITE = Suite("server_time", "Server time", run, lines, page)
