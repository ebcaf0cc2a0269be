"""Model time at 200 requests/s of one trip through the whole stack, from the replicas' own histogram."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.acceptance import Line, at_least, at_most
from bench.exposition import buckets, quantile_bound, share_within
from bench.load import trace
from bench.markdown import table
from bench.prediction_log import model_ms
from bench.suite import Bench, Suite
from bench.tandem_stack import tandem_stack
from bench.trace import percentile
from bench.turn import generator_on
from bench.wire import EtaTrips

METRIC = "tandem_model_seconds"
RATE, LIMIT_S = 200, 0.001


def run(bench: Bench) -> dict[str, Any]:
    """Load one replica for a minute; the histogram has a bound at the limit, so that the share within it is exact."""
    duration_s = 5 if bench.quick else 60
    with bench.ground() as ground, tandem_stack(bench.site(ground), replicas=1) as stack:
        messages = ground.exercise(bench.model, 1).messages(EtaTrips(), 1)
        with generator_on(0):
            trace(stack.address, messages, rate=RATE, duration_s=2)
            (before,), since = stack.metrics().values(), time.time()
            taken = trace(stack.address, messages, rate=RATE, duration_s=duration_s, seed=2)
            (after,) = stack.metrics().values()
        counts = buckets(before, after, METRIC)
        time.sleep(2.0)  # the log is written in the background
        logged = model_ms(stack.stack.home, since)
    bench.say(f"model_time: {counts}; {taken.statuses()}")
    return {
        "rate": RATE,
        "duration_s": duration_s,
        "statuses": taken.statuses(),
        "p50_ms": percentile(taken.latency_ms, 50),
        "p99_ms": percentile(taken.latency_ms, 99),
        "buckets": {f"{bound:g}": count for bound, count in counts.items()},
        "share_within_1_ms": share_within(counts, LIMIT_S),
        "p99_at_most_ms": _ms(quantile_bound(counts, 0.99)),
        "logged": {"rows": len(logged), "p50_ms": percentile(logged, 50), "p99_ms": percentile(logged, 99)},
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else (seconds * 1e3 if np.isfinite(seconds) else None)


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Judge by the exact figure of the prediction log where there is one, else by the share within the bound."""
    if result["logged"]["p99_ms"] is not None:
        return [at_most("Model time at 200/s, p99", result["logged"]["p99_ms"], 1, " ms")]
    share = result["share_within_1_ms"]
    return [at_least("Model calls at 200/s within 1 ms", None if share is None else 100 * share, 99, " %")]


def page(result: dict[str, Any]) -> str:
    """Tell the histogram."""
    whole = max(result["buckets"].values(), default=0)
    rows = [[f"≤ {float(bound) * 1e3:g} ms", int(n), 100 * n / whole] for bound, n in result["buckets"].items() if n]
    first = next((i for i, row in enumerate(rows) if row[1] == whole), len(rows) - 1)
    logged = result["logged"]
    exact = f" By the prediction log: p50 {logged['p50_ms']} ms, p99 {logged['p99_ms']} ms." if logged["rows"] else ""
    return (
        f"{table(['model call', 'calls', '%'], rows[: first + 1])}\n\nOne replica, {result['rate']} requests/s of one "
        f"trip for {result['duration_s']} s; the answers' own p50 / p99 {result['p50_ms']} / {result['p99_ms']} ms, "
        f"{result['statuses']}.{exact}"
    )


SUITE = Suite("model_time", "Model time", run, lines, page)
