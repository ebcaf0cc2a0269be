"""Memory of every process of the stack, at rest and after minutes of load, and whether a replica grows."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psutil

from bench.acceptance import Line, at_most
from bench.load import step
from bench.markdown import table
from bench.online import Online
from bench.process_names import REPLICA, name_of
from bench.suite import Bench, Suite
from bench.tandem_stack import TandemStack, tandem_stack
from bench.turn import generator_on
from bench.wire import EtaTrips

RATE, REPLICAS = 300, 2
REST_S, EVERY_S, CHUNK_S = 10.0, 10.0, 30.0
SETTLED_S = 60.0  # growth counts from here: caches fill before


def run(bench: Bench) -> dict[str, Any]:
    """Rest, load for the minutes that are asked for, and look at the replicas every ten seconds meanwhile."""
    minutes = min(bench.minutes, 0.5) if bench.quick else bench.minutes
    with bench.ground() as ground, tandem_stack(bench.site(ground), replicas=REPLICAS) as stack:
        time.sleep(REST_S)
        rest = _named(stack, ground)
        samples: list[dict[str, Any]] = []
        stop = threading.Event()
        begun = time.monotonic()
        sampler = threading.Thread(target=_sample, args=(stack, samples, begun, stop), daemon=True)
        sampler.start()
        failed, answered = Counter[str](), 0
        with generator_on(0):
            while (at := time.monotonic() - begun) < minutes * 60:
                ground.refresh()
                messages = ground.exercise(bench.model, int(at)).messages(EtaTrips(), 1)
                length = min(CHUNK_S, max(1.0, minutes * 60 - at))
                outcome = step(stack.address, messages, rate=RATE, duration_s=length, seed=int(at) + 1)
                answered += outcome.answered
                failed.update(outcome.errors)
                bench.say(f"memory: {at / 60:.1f} min, p99 {outcome.p99_ms} ms, {outcome.failed} failed")
        stop.set()
        sampler.join()
        loaded = _named(stack, ground)
    settled = min(SETTLED_S, minutes * 30)
    return {
        "rate": RATE,
        "minutes": minutes,
        "answered": answered,
        "errors": dict(failed),
        "rest_mib": rest,
        "loaded_mib": loaded,
        "samples": samples,
        "growth_percent": growth(samples, settled),
        "settled_s": settled,
    }


def _sample(stack: TandemStack, samples: list[dict[str, Any]], begun: float, stop: threading.Event) -> None:
    replicas = [p for p in stack.server.processes() if name_of(p) == REPLICA]
    while not stop.wait(EVERY_S):
        found = {str(process.pid): _pss(process) for process in replicas}
        samples.append({"at_s": round(time.monotonic() - begun, 1), "mib": found})


def growth(samples: Sequence[dict[str, Any]], settled_s: float) -> float | None:
    """Percent by which the replica that grew most did so, from the first sample after `settled_s` to the last."""
    late = [sample["mib"] for sample in samples if sample["at_s"] >= settled_s]
    if len(late) < 2:
        return None
    grown = [100 * (late[-1][pid] / first - 1) for pid, first in late[0].items() if first and late[-1].get(pid)]
    return round(max(grown), 2) if len(grown) == len(late[0]) else None  # one that is gone was not measured


def _named(stack: TandemStack, ground: Online) -> list[dict[str, Any]]:
    """PSS of every process: those that the row started, what Ray's agents hide below them, and the Valkey."""
    found: dict[int, psutil.Process] = {}
    for process in [*stack.server.processes(), psutil.Process(ground.pid)]:
        try:
            found |= {one.pid: one for one in (process, *process.children(recursive=True))}
        except psutil.Error:
            continue
    rows = [{"name": name_of(process), "pid": process.pid, "mib": _pss(process)} for process in found.values()]
    return sorted((row for row in rows if row["mib"]), key=lambda row: (row["name"], row["pid"]))


def _pss(process: psutil.Process) -> float:
    try:
        return round(process.memory_full_info().pss / 2**20, 1)
    except psutil.Error:
        return 0.0


def lines(result: dict[str, Any]) -> Sequence[Line]:
    """Judge the replica that grew most."""
    what = f"Growth of a replica, minute {result['settled_s'] / 60:g} to {result['minutes']:g} at {result['rate']}/s"
    return [at_most(what, result["growth_percent"], 5, " %", 1)]


def page(result: dict[str, Any]) -> str:
    """Tell every process, at rest and after the load."""
    after_words = f"after {result['minutes']:g} minutes"
    after = {row["pid"]: row["mib"] for row in result["loaded_mib"]}
    rows = [[row["name"], row["mib"], after.get(row["pid"])] for row in result["rest_mib"]]
    totals = ["all", sum(row["mib"] for row in result["rest_mib"]), sum(row["mib"] for row in result["loaded_mib"])]
    errors = ", ".join(f"{n} {name}" for name, n in result["errors"].items()) or "none failed"
    return (
        f"{table(['PSS, MiB', 'at rest', after_words], [*rows, totals])}\n\n"
        f"{REPLICAS} replicas, {result['rate']} requests/s of one trip from 12,000 distinct ones every "
        f"{CHUNK_S:.0f} s; {result['answered']:,} answered, {errors}."
    )


SUITE = Suite("memory", "Memory", run, lines, page)
