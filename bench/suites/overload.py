"""Overload: a stack whose model really takes 3 ms longer, sent up to three times what it can do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters.artifact_store import ArtifactStore
from bench.acceptance import Line, at_least, at_most
from bench.load import trace
from bench.markdown import table
from bench.server import post
from bench.slow_model import slow_artifact
from bench.suite import Bench, Suite
from bench.tandem_stack import TandemStack, tandem_stack
from bench.trace import Trace, percentile
from bench.turn import generator_on
from bench.wire import EtaTrips

EXTRA_MS = 3.0
RATES = (100, 200, 300, 400, 600, 900)
TURNS, STEP_S = 3, 5.0
DEADLINE_MS = 100
WIRE = EtaTrips(path=f"/v1/eta?deadline_ms={DEADLINE_MS}")
PROBE_EVERY_S = 0.05
IN_A_ROW = 20
GIVE_UP_S = 30.0
UNLOADED = 200  # probes


def run(bench: Bench) -> dict[str, Any]:
    """Send each rate open loop, then probe until service is as before."""
    store = ArtifactStore(bench.scratch / f"slow-{time.time_ns()}")
    artifact, rounds, added_ms = slow_artifact(bench.artifact, store, EXTRA_MS)
    bench.say(f"overload: {rounds} rounds add {added_ms:.2f} ms")
    with bench.ground() as ground, tandem_stack(bench.site(ground, artifact), replicas=1) as stack:
        exercise = ground.exercise(bench.model, 1)
        messages, probe = exercise.messages(WIRE, 1), WIRE.body(exercise.items[:1])
        with generator_on(0):
            trace(stack.address, messages, rate=50, duration_s=3)
            calm = _calm_ms(stack, probe, 40 if bench.quick else UNLOADED)
            turns: list[list[dict[str, Any]]] = []
            recoveries = []
            for turn in range(1 if bench.quick else TURNS):
                turns.append([])
                for rate in RATES:
                    taken = trace(stack.address, messages, rate=rate, duration_s=STEP_S, seed=rate + turn)
                    turns[-1].append(_row(taken))
                    bench.say(f"overload: {turns[-1][-1]}")
                    if rate != RATES[-1]:
                        time.sleep(2.0)
                recoveries.append(_recovery_s(stack, probe, taken.began + taken.duration_s, 2 * calm["p99_ms"]))
                bench.say(f"overload: normal {recoveries[-1]} s after the end")
    rows = [_median(of_rate) for of_rate in zip(*turns, strict=True)]
    recovered_s = None if None in recoveries else max(recoveries)
    best = max(row["goodput"] for row in rows)
    return {
        "added_ms": round(added_ms, 2),
        "rounds": rounds,
        "deadline_ms": DEADLINE_MS,
        "calm": calm,
        "turns": turns,
        "rows": rows,
        "best_goodput": best,
        "share_of_best": round(rows[-1]["goodput"] / best, 4) if best else None,
        "recovered_s": recovered_s,
    }


def _median(of_rate: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of a rate's turns, figure by figure; by status, all of them together."""
    row = {}
    for name in of_rate[0]:
        values = [one[name] for one in of_rate if name != "statuses" and one[name] is not None]
        row[name] = round(float(np.median(values)), 3) if values else None
    statuses: Counter[str] = Counter()
    for one in of_rate:
        statuses.update(one["statuses"])
    return {**of_rate[0], **row, "rate": of_rate[0]["rate"], "statuses": dict(statuses)}


def _row(taken: Trace) -> dict[str, Any]:
    refused, good = taken.latency_ms[taken.refused()], taken.latency_ms[taken.status == 200]
    return {
        "rate": taken.rate,
        "sent": taken.sent,
        "goodput": round(taken.goodput(DEADLINE_MS), 1),
        "p50_ms": percentile(good, 50),
        "p99_ms": percentile(good, 99),
        "refused": len(refused),
        "refused_p50_ms": percentile(refused, 50),
        "refused_p99_ms": percentile(refused, 99),
        "statuses": taken.statuses(),
    }


def _probe(stack: TandemStack, body: bytes) -> tuple[int, float]:
    begin = time.perf_counter()
    try:
        status, _ = post(stack.address, WIRE.path, body)
    except OSError:
        status = 0
    return status, (time.perf_counter() - begin) * 1e3


def _calm_ms(stack: TandemStack, body: bytes, probes: int) -> dict[str, Any]:
    """What a probe takes of an unloaded stack: the same probes that recovery is judged by."""
    taken = []
    for _ in range(probes):
        taken.append(_probe(stack, body)[1])
        time.sleep(PROBE_EVERY_S)
    return {"probes": probes, "p50_ms": percentile(np.array(taken), 50), "p99_ms": percentile(np.array(taken), 99)}


def _recovery_s(stack: TandemStack, body: bytes, ended: float, limit_ms: float) -> float | None:
    """Seconds from the load's end to the first of twenty good probes in a row; None where they never came."""
    row, since = 0, 0.0
    while time.perf_counter() < ended + GIVE_UP_S:
        asked = time.perf_counter()
        status, ms = _probe(stack, body)
        if status == 200 and ms <= limit_ms:
            since, row = (asked if row == 0 else since), row + 1
            if row == IN_A_ROW:
                return round(max(0.0, since - ended), 3)
        else:
            row = 0
        time.sleep(max(0.0, PROBE_EVERY_S - (time.perf_counter() - asked)))
    return None


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Judge goodput, refusals and recovery."""
    share, last = result["share_of_best"], result["rows"][-1]
    return [
        at_least(f"Goodput at {last['rate']}/s, of its best", None if share is None else 100 * share, 90, " %", 1),
        at_most(f"Refusals at {last['rate']}/s, p99", last["refused_p99_ms"], 20, " ms", 1),
        at_most("Normal service after the load's end", result["recovered_s"], 5, " s"),
    ]


def page(result: dict[str, Any]) -> str:
    """Tell every rate."""
    head = ["sent", "goodput/s", "p50 ms", "p99 ms", "refused", "refused, p50 ms", "refused, p99 ms", "by status"]
    rows = [
        [
            f"{row['rate']}/s",
            *(row[key] for key in ("goodput", "p50_ms", "p99_ms", "refused", "refused_p50_ms", "refused_p99_ms")),
            ", ".join(f"{status}: {n:,}" for status, n in row["statuses"].items()),
        ]
        for row in result["rows"]
    ]
    return (
        f"{table(head, rows)}\n\nMedian of {len(result['turns'])} turns. One replica; the model's graph does "
        f"{result['added_ms']} ms more of real work a call ({result['rounds']} matrix products). "
        f"Goodput: 200s within the deadline of {result['deadline_ms']} ms that "
        f"each request carries. A probe of the unloaded stack takes p50 {result['calm']['p50_ms']}, p99 "
        f"{result['calm']['p99_ms']} ms; normal service is {IN_A_ROW} probes in a row within twice that p99."
    )


SUITE = Suite("overload", "Overload", run, lines, page)
