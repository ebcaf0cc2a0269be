"""A Valkey that stands still (SIGSTOP) for ten seconds under load, and goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.acceptance import Line, at_most
from bench.load import trace
from bench.markdown import table
from bench.online import Online
from bench.store_watch import Watch, watching
from bench.suite import Bench, Suite
from bench.tandem_stack import tandem_stack
from bench.trace import Trace, percentile, reason, settled
from bench.turn import generator_on
from bench.wire import EtaTrips

RATE = 200
BEFORE_S, STOPPED_S, AFTER_S = 10.0, 10.0, 8.0
WARM_TRIPS = 500
RUN = 100  # answers of which 99 % are fresh: then service is as before
VARIANTS: dict[str, tuple[Mapping[str, str], int | None]] = {
    "default settings, 500 trips": ({}, WARM_TRIPS),
    "default settings, 12,000 trips": ({}, None),
    "no cached row helps": (
        {
            "TANDEM_FEATURE_STALE_S": "0.05",
            "TANDEM_FEATURE_CACHE_TTL_S": "0.01",
            "TANDEM_FEATURE_CACHE_STATISTICS_TTL_S": "0.01",
        },
        WARM_TRIPS,
    ),
}


def run(bench: Bench) -> dict[str, Any]:
    """Every variant with two replicas and with one."""
    rows = []
    for name, (extra, trips) in VARIANTS.items():
        for replicas in (2, 1):
            if bench.quick and (replicas, trips) != (1, WARM_TRIPS):
                continue
            row = _outage(bench, extra, trips, replicas)
            bench.say(f"store_outage: {name}, {replicas} replicas: {row}")
            rows.append({"variant": name, "replicas": replicas, **row})
    return {"rate": RATE, "stopped_s": STOPPED_S, "rows": rows}


def _outage(bench: Bench, extra: Mapping[str, str], trips: int | None, replicas: int) -> dict[str, Any]:
    with bench.ground() as ground, tandem_stack(bench.site(ground), replicas=replicas, extra=extra) as stack:
        messages = ground.exercise(bench.model, 1).messages(EtaTrips(), 1)[:trips]
        marks: dict[str, float] = {}
        with watching(stack.replicas()) as end_watch, generator_on(0):
            timers = [
                threading.Timer(BEFORE_S, _signal, (ground, signal.SIGSTOP, marks)),
                threading.Timer(BEFORE_S + STOPPED_S, _signal, (ground, signal.SIGCONT, marks)),
            ]
            try:
                for timer in timers:
                    timer.start()
                whole_s = BEFORE_S + STOPPED_S + AFTER_S
                taken = trace(stack.address, messages, rate=RATE, duration_s=whole_s, look=reason)
            finally:
                for timer in timers:
                    timer.cancel()
                os.kill(ground.pid, signal.SIGCONT)
            watch = end_watch()
        return judged(taken, watch, marks["SIGSTOP"], marks["SIGCONT"], replicas)


def _signal(ground: Online, which: signal.Signals, marks: dict[str, float]) -> None:
    os.kill(ground.pid, which)
    marks[which.name] = time.perf_counter()


def judged(taken: Trace, watch: Watch, stopped: float, resumed: float, replicas: int) -> dict[str, Any]:
    """What the caller saw, and what the replicas said of their breakers; times are perf_counter seconds."""
    start, end = stopped - taken.began, resumed - taken.began
    calm, during = taken.between(0, start), taken.between(start, end)
    after = taken.between(end, taken.duration_s)
    fresh = taken.status == 200
    fresh &= [word == "model" for word in taken.words]  # neither the heuristic's nor from stale features
    again = settled(taken.due_s[after], fresh[after], run=RUN)
    closed = watch.closed_after(resumed, replicas)
    fresh_s = None if closed is None or again is None else max(closed - resumed, again - end)
    opened = watch.opened_after(stopped, replicas)
    return {
        "sent": taken.sent,
        "statuses": taken.statuses(),
        "server_errors": taken.server_errors(),
        "lost": sum(taken.lost.values()),
        "p99_calm_ms": percentile(taken.latency_ms[calm], 99),
        "p50_outage_ms": percentile(taken.latency_ms[during], 50),
        "p99_outage_ms": percentile(taken.latency_ms[during], 99),
        "max_outage_ms": percentile(taken.latency_ms[during], 100),
        "answered_by_before": taken.seen(calm),
        "answered_by": taken.seen(during),
        "answered_by_after": taken.seen(after),
        "breaker_open_s": None if opened is None else round(opened - stopped, 3),
        "fresh_again_s": None if fresh_s is None else round(fresh_s, 3),
    }


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Judge the worst of all variants; a breaker that was never seen open is not a pass."""
    rows = result["rows"]
    return [
        at_most("Store stopped under load: 5xx", _worst(rows, "server_errors"), 0, "", 0),
        at_most("Store stopped: requests without an answer", _worst(rows, "lost"), 0, "", 0),
        at_most("Store stopped: p99", _worst(rows, "p99_outage_ms"), 150, " ms", 1),
        at_most("Store stopped: breaker open after", _worst(rows, "breaker_open_s"), 1, " s"),
        at_most("SIGCONT: fresh features again after", _worst(rows, "fresh_again_s"), 2, " s"),
    ]


def _worst(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows]
    return None if not values or None in values else max(values)


def page(result: dict[str, Any]) -> str:
    """Tell every variant."""
    head = ["", "replicas", "5xx", "p99 before, ms", "p99 stopped, ms", "breaker open, s", "fresh again, s", "answers"]
    rows = [
        [
            row["variant"],
            row["replicas"],
            row["server_errors"],
            *(row[key] for key in ("p99_calm_ms", "p99_outage_ms", "breaker_open_s", "fresh_again_s")),
            _shares(row["answered_by"]),
        ]
        for row in result["rows"]
    ]
    return (
        f"{table(head, rows)}\n\n{result['rate']} requests/s of one trip, Valkey stopped for {result['stopped_s']:.0f} "
        "s with SIGSTOP. `answers` are those of the time it stood still: by the model, or why it was not, or why its "
        "features were not fresh. "
        "Breakers are read from the replicas' own metrics every 20 ms; open and fresh count the last of the replicas, "
        "and fresh when 99 of the next 100 answers are the model's from fresh features, too."
    )


def _shares(counts: Mapping[str, int]) -> str:
    whole = sum(counts.values()) or 1
    named = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name or 'refused'} {100 * n / whole:.1f} %" for name, n in named)


SUITE = Suite("store_outage", "A store that stands still", run, lines, page)
