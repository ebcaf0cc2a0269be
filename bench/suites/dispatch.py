"""`POST /v1/dispatch` on one core: from a request's bytes to its answer's, and what the event loop feels of it."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import psutil
import uvloop

from bench.acceptance import Line, at_most
from bench.http1 import post
from bench.markdown import table
from bench.rows import tandem
from bench.suite import Bench, Suite
from bench.suites.server_time import Driver
from serving.artifacts import LoadedModel
from serving.replica import Replica, compose
from serving.settings import load_settings

SIZES = ((100, 300), (300, 900), (1000, 1000), (1000, 3000), (2000, 2000), (2000, 6000))
JUDGED = (1000, 3000)
CALLS = {JUDGED: 200}
OTHER_CALLS = 30
TICK_S = 0.001
_NEAR_DEGREES = 0.004


class Ticks:
    """Sleeps for a millisecond again and again; what comes on top is how long others would have waited."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.late_s.append(time.perf_counter() - begun - TICK_S)

    async def stop(self) -> None:
        """End."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def run(bench: Bench) -> dict[str, Any]:
    """Time requests one by one, all of it (loop, thread and solver) on the last processor."""
    everywhere = os.sched_getaffinity(0)
    with bench.ground() as ground:
        site = bench.site(ground)
        tandem.prepare(site)
        os.sched_setaffinity(0, {max(everywhere)})
        replica = compose(load_settings(tandem.variables(site) | {"TANDEM_REDIS_URL": ground.socket_url}))
        replica.start()
        try:
            rows = uvloop.run(_all(replica, bench))
        finally:
            replica.close()
            os.sched_setaffinity(0, everywhere)
            gc.unfreeze()
    return {"rows": rows}


async def _all(replica: Replica, bench: Bench) -> list[dict[str, Any]]:
    rows, driver = [], Driver(replica)
    for riders, drivers in SIZES[:4] if bench.quick else SIZES:
        for policy in ("batch", "greedy"):
            calls = CALLS.get((riders, drivers), OTHER_CALLS) if policy == "batch" else OTHER_CALLS
            row = await _timed(replica, driver, riders, drivers, policy=policy, calls=5 if bench.quick else calls)
            bench.say(f"dispatch: {riders} x {drivers}, {policy}: p50 {row['p50_ms']} p99 {row['p99_ms']} ms")
            rows.append(row)
    return rows


async def _timed(
    replica: Replica, driver: Driver, riders: int, drivers: int, *, policy: str, calls: int
) -> dict[str, Any]:
    rng, model = np.random.default_rng(riders * 10_007 + drivers), replica.routing.champion()
    requests = [_request(model, riders, drivers, policy, rng) for _ in range(min(calls, 20))]
    cold_s, _ = await driver.ask(requests[0])
    for request in requests[:3]:
        await driver.ask(request)
    ticks, seconds, answers, begun_s = Ticks(), np.empty(calls), [], _cpu_s()
    for i in range(calls):
        seconds[i], answer = await driver.ask(requests[i % len(requests)])
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer[:500]
        answers.append(msgspec.json.decode(body))
    spent_s = _cpu_s() - begun_s
    await ticks.stop()
    assert {(answer["source"], answer["policy"]) for answer in answers} == {("model", policy)}, answers[-1]["reason"]
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {
        "riders": riders,
        "drivers": drivers,
        "policy": policy,
        "calls": calls,
        "cold_ms": round(cold_s * 1e3, 1),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "cpu_ms": round(spent_s * 1e3 / calls, 1),
        "matrix_p50_ms": round(float(np.median([answer["matrix_ms"] for answer in answers])), 1),
        "solve_p50_ms": round(float(np.median([answer["solve_ms"] for answer in answers])), 1),
        "assigned": float(np.mean([len(answer["assignments"]) for answer in answers])),
        "loop_late_p99_ms": round(float(np.percentile(ticks.late_s, 99)) * 1e3, 2),
        "loop_late_most_ms": round(max(ticks.late_s) * 1e3, 2),
    }


def _cpu_s() -> float:
    """Processor time of this process and of the solvers below it."""
    own = psutil.Process()
    solvers = [child for child in own.children() if "serving.solver" in child.cmdline()]
    times = [process.cpu_times() for process in (own, *solvers)]
    return sum(of.user + of.system for of in times)


def _request(model: LoadedModel, riders: int, drivers: int, policy: str, rng: np.random.Generator) -> bytes:
    pickups, stands = _points(model, riders, rng), _points(model, drivers, rng)
    body = {
        "riders": [{"id": f"r{i}", "pickup": at, "waiting_s": float(rng.integers(60))} for i, at in enumerate(pickups)],
        "drivers": [{"id": f"d{i}", "location": at} for i, at in enumerate(stands)],
        "policy": policy,
    }
    return post("127.0.0.1", "/v1/dispatch", msgspec.json.encode(body))


def _points(model: LoadedModel, count: int, rng: np.random.Generator) -> list[dict[str, float]]:
    """Points of the city, near the middles of its zones."""
    zone = rng.integers(len(model.zones.ids), size=4 * count)
    lat, lon = (of[zone] + _NEAR_DEGREES * rng.standard_normal(4 * count) for of in (model.zones.lat, model.zones.lon))
    inside = np.flatnonzero(model.locator.locate_many(lat, lon) >= 0)[:count]
    assert len(inside) == count
    return [{"lat": round(float(lat[i]), 6), "lon": round(float(lon[i]), 6)} for i in inside.tolist()]


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Judge 1,000 riders and 3,000 drivers."""
    judged = [r for r in result["rows"] if (r["riders"], r["drivers"]) == JUDGED and r["policy"] == "batch"]
    p99_ms = judged[0]["p99_ms"] if judged else None
    return [at_most("1,000 riders and 3,000 drivers, one core, p99", p99_ms, 150, " ms", 1)]


def page(result: dict[str, Any]) -> str:
    """Tell the times."""
    head = [
        "riders x drivers, policy",
        "p50 ms",
        "p99 ms",
        "matrix",
        "solve",
        "first",
        "loop late p99",
        "most",
        "calls",
    ]
    rows = [
        [
            f"{r['riders']:,} x {r['drivers']:,}, {r['policy']}",
            *(r[key] for key in ("p50_ms", "p99_ms", "cpu_ms", "matrix_p50_ms", "solve_p50_ms", "cold_ms")),
            *(r[key] for key in ("loop_late_p99_ms", "loop_late_most_ms", "calls")),
        ]
        for r in result["rows"]
    ]
    return (
        f"{table(head, rows)}\n\nThe replica as it is composed for production, with the solver's process, all on one "
        "core, from a request's bytes to its answer's; points drawn around the zones' middles, times from the model. "
        "`CPU` is the processor time of a request, the solver's included, with a tick a millisecond. `first` is the "
        "first request of a size; the very first of over 256 riders starts the solver. `late` is how much longer than "
        "a millisecond a sleep of one took meanwhile: what an ETA request beside it would have waited."
    )


SUITE = Suite("dispatch", "Dispatch", run, lines, page)
