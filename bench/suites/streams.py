"""Live features of a running stack: how soon a trip is in an ETA's features, and what faults lose and double."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.acceptance import Line, at_most
from bench.live_stack import live_stack
from bench.markdown import table
from bench.stream_faults import (
    broker_killed,
    broker_stopped,
    consumer_killed,
    poisoned,
    steady,
    store_erased,
    words,
)
from bench.suite import Bench, Suite

RATE, MINUTES = 2000.0, 5.0
FAULT_RATE, FAULT_S = 500.0, 30.0
STOPPED_S = 10.0
POISON, GOOD = 10_000, 20_000
NAMES = {
    "steady": "steady",
    "consumer_killed": "consumer SIGKILL, twice",
    "broker_stopped": "broker SIGSTOP 10 s",
    "broker_killed": "broker SIGKILL, 10 s gone, back with its file",
    "poisoned": "10,000 poison messages among 20,000 good",
    "store_erased": "online store erased",
}


def run(bench: Bench) -> dict[str, Any]:
    """All of it on one stack with one replica, the long run last."""
    minutes = 0.5 if bench.quick else MINUTES
    fault_s = 18.0 if bench.quick else FAULT_S
    stopped_s = 3.0 if bench.quick else STOPPED_S
    poison, good = (600, 1200) if bench.quick else (POISON, GOOD)
    with live_stack(bench) as stack:
        runs = {
            "consumer_killed": lambda: consumer_killed(stack, rate=FAULT_RATE, seconds=fault_s),
            "broker_stopped": lambda: broker_stopped(stack, rate=FAULT_RATE, seconds=fault_s, stopped_s=stopped_s),
            "broker_killed": lambda: broker_killed(stack, rate=FAULT_RATE, seconds=fault_s, gone_s=stopped_s),
            "poisoned": lambda: poisoned(stack, poison=poison, good=good, rate=1000.0),
            "store_erased": lambda: store_erased(stack),
            "steady": lambda: steady(stack, rate=RATE, seconds=60 * minutes),
        }
        results = {}
        for name, run_one in runs.items():
            results[name] = run_one()
            bench.say(f"streams: {NAMES[name]}: {results[name]}")
        zones = len(stack.zones.ids)
    return {"rate": RATE, "minutes": minutes, "fault_rate": FAULT_RATE, "zones": zones, "runs": results}


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Nothing lost, nothing double, no 5xx, in all of them; a run that never drained is not a pass."""
    runs = result["runs"]
    drained = [run.get("drained_s", 0.0) for run in runs.values()]
    whole = None if None in drained else 0
    events = sum(run["events"] for run in runs.values())
    letters = abs(runs["poisoned"]["dead_letters"] - runs["poisoned"]["poison"])
    out_of_order = 0 if runs["broker_killed"]["in_order"] else 1
    return [
        at_most(f"Live features: trips lost of {events:,}, all faults", _sum(runs, "lost", whole), 0, "", 0),
        at_most("Live features: trips counted twice", _sum(runs, "doubled", whole), 0, "", 0),
        at_most("Live features: 5xx under all faults", _sum(runs, "server_errors", whole), 0, "", 0),
        at_most("Live features: requests without an answer", _sum(runs, "unanswered", whole), 0, "", 0),
        at_most("Poison: dead letters too many or too few", letters, 0, "", 0),
        at_most("Outbox after a dead broker: out of order", out_of_order, 0, "", 0),
    ]


def _sum(runs: dict[str, Any], name: str, whole: int | None) -> int | None:
    return None if whole is None else sum(run[name] for run in runs.values())


def page(result: dict[str, Any]) -> str:
    """Tell when a trip is seen, then every fault."""
    runs = result["runs"]
    seen, erased = runs["steady"]["visible"], runs["store_erased"]
    head = ["", "events", "lost", "twice", "catch-up s", "requests", "5xx", "no answer", "answered by"]
    rows = [
        [
            NAMES[name],
            run["events"],
            run["lost"],
            run["doubled"],
            run.get("catch_up_s", run.get("drained_s")),
            run["requests"],
            run["server_errors"],
            run["unanswered"],
            words(run["answered_by"]),
        ]
        for name, run in runs.items()
    ]
    poison, killed = runs["poisoned"], runs["broker_killed"]
    order = "all in order" if killed["in_order"] else "NOT in order"
    return (
        f"{result['rate']:,.0f} trips/s for {result['minutes']:g} minutes, {result['zones']} zones: from a trip's end "
        f"to the first answered request whose features had it p50 {seen['p50_s']} s, p99 {seen['p99_s']} s, longest "
        f"{seen['p100_s']} s, never seen {seen['never_seen']}. Half a step of the 10 s grid is waited for in any case."
        f"\n\n{table(head, rows)}\n\n"
        f"Faults under {result['fault_rate']:g} trips/s; one replica, asked 20 times a second; broker, cells and "
        "online store are one Valkey. Lost and twice are told by every window cell of every key. Catch-up counts from "
        "the end of the (last) fault until less than a second's trips wait; without a fault, from the last trip until "
        f"none does. {poison['poison']:,} poison messages of {poison['kinds']} kinds made {poison['dead_letters']:,} "
        f"dead letters. Out of the outbox came {order}, {killed['sent_again']} twice. The erased store had live rows "
        f"again after {_s(erased['live_rows_s'])}, statistics after {_s(erased['whole_s'])} "
        f"({erased['statistics_differ']} of 200 rows other than before)."
    )


def _s(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


SUITE = Suite("streams", "Live features", run, lines, page, document="streams.md")
