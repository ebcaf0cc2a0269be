"""One turn of one row: start, check, fixed rates, highest rate, stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from bench.exercise import CHECKED, Exercise
from bench.load import Outcome, step
from bench.rows.protocol import APPS, Row, Site
from bench.search import highest_rate, nearby
from bench.server import Server, post, running

P99_LIMIT_MS = 150.0
OVERLOADED_P99_MS = 1000.0
DROWNS = 1.5  # a fixed rate this far above the highest of the turn before is not sent again: it only ever drowns
CHECKED_AGAIN = 32
WARM_UP_S = 0.5
CALM_MS = 100.0
GENERATOR_NICE = -10


@dataclass(frozen=True)
class Plan:
    """How long and how often; slower rates than 100 / `step_s` get time for 100 requests."""

    rates: tuple[int, ...] = (50, 200, 500, 1000)
    sizes: tuple[int, ...] = (1, 32)
    turns: int = 5
    step_s: float = 1.25
    search_s: float = 1.0
    confirm_s: float = 2.0
    budget_s: float = 55 * 60  # no turn begins that would end later
    generator_cpu: int = 0
    server_cpus: tuple[int, ...] = (0, 1)

    def duration_s(self, rate: float) -> float:
        """Length of a fixed step."""
        return max(self.step_s, 100 / rate)


QUICK = Plan(rates=(50, 200), turns=1, step_s=1.0, search_s=0.5, confirm_s=1.0)


@dataclass(frozen=True)
class Measured:
    """A fixed step with what it cost the server."""

    size: int
    outcome: Outcome
    cpu_s_per_1000: float | None


def take_turn(
    row: Row,
    site: Site,
    exercise: Exercise,
    plan: Plan,
    *,
    seed: int,
    known: dict[int, float],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run a row once; `known` holds the highest rate by size of the turn before and is brought up to date.

    Raises NotReady and WrongAnswers. The result is plain data: ready_s, memory_mib, processes, steps, highest.
    """
    row.prepare(site)
    path = f"{site.bin}{os.pathsep}{os.environ['PATH']}"  # mlflow, for one, starts uvicorn by name
    variables = {"PATH": path, "BENCH_MODEL": str(site.model), "BENCH_APPS": str(APPS), **row.variables(site)}
    log = site.scratch / f"{row.name.replace(' ', '-').replace(':', '')}.log".lower()
    address = (site.host, site.port)
    with running(row.command(site), variables, cpus=plan.server_cpus, log=log, stop_signal=row.stop_signal) as server:
        first = row.wire.body(exercise.items[:1])
        ready_s = server.wait_ready(address, row.wire.path, first, row.ready_s)
        say(f"ready in {ready_s:.1f} s")
        checked = CHECKED_AGAIN if known else CHECKED
        worst = max(exercise.check(row.wire, address, size, checked) for size in plan.sizes)
        steps: list[dict[str, Any]] = []
        highest: dict[int, float] = {}
        with generator_on(plan.generator_cpu):
            for size in plan.sizes:
                probe = row.wire.body(exercise.items[:size])
                load = _Load(address, exercise.messages(row.wire, size), seed, row.wire.path, probe)
                load.run(plan.rates[0], WARM_UP_S)
                steps += [asdict(m) for m in _fixed(load, server, size, plan, known.get(size), say)]
                highest[size] = _highest(load, plan, known.get(size), steps, size)
                say(f"{size} a request: highest {highest[size]:.0f}/s")
        known.update(highest)
        usage = server.usage()
    return {
        "ready_s": round(ready_s, 2),
        "memory_mib": round(usage.memory_mib, 1),
        "processes": usage.processes,
        "largest_difference_s": round(worst, 4),
        "steps": steps,
        "highest": {str(size): round(rate, 1) for size, rate in highest.items()},
    }


@contextmanager
def generator_on(cpu: int) -> Iterator[None]:
    """Keep this process on one CPU and, where it may, ahead of the servers: a load that waits for them is not open."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, GENERATOR_NICE)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        os.sched_setaffinity(0, own)


class _Load:
    """Steps against one address, with a wait for calm after each that overwhelmed it."""

    def __init__(self, address: tuple[str, int], messages: list[bytes], seed: int, path: str, probe: bytes) -> None:
        self._address, self._messages, self._seed, self._path, self._probe = address, messages, seed, path, probe

    def run(self, rate: float, duration_s: float) -> Outcome:
        outcome = step(self._address, self._messages, rate=rate, duration_s=duration_s, seed=self._seed)
        if not held(outcome):
            self._settle()
        return outcome

    def _settle(self, limit_s: float = 30.0) -> None:
        """Wait until a request is answered at once: what an overload left in queues must not burden the next step."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            start = time.monotonic()
            try:
                status, _ = post(self._address, self._path, self._probe)
            except OSError:
                status = 0
            if status == 200 and (time.monotonic() - start) * 1e3 < CALM_MS:
                return
            time.sleep(0.1)


def held(outcome: Outcome) -> bool:
    """Whether a step kept the promise: no error, and a p99 under the limit."""
    return not outcome.failed and outcome.p99_ms < P99_LIMIT_MS


def worth_sending(rates: tuple[int, ...], known: float | None) -> list[int]:
    """Leave out the rates that drowned the server in the turn before; the lowest is always sent."""
    return [rate for i, rate in enumerate(rates) if not i or known is None or rate <= DROWNS * known]


def _fixed(  # noqa: PLR0917 - the turn's own parts
    load: _Load, server: Server, size: int, plan: Plan, known: float | None, say: Callable[[str], None]
) -> list[Measured]:
    """Run the fixed rates upwards; the rates above one that drowned the server are not run."""
    measured = []
    for rate in worth_sending(plan.rates, known):
        before = server.cpu_s()
        outcome = load.run(rate, plan.duration_s(rate))
        cost = (server.cpu_s() - before) / outcome.answered * 1e3 if outcome.answered else None
        measured.append(Measured(size, outcome, round(cost, 4) if cost is not None else None))
        say(f"{size} a request, {rate}/s: p50 {outcome.p50_ms} p99 {outcome.p99_ms} ms, {outcome.failed} failed")
        if outcome.failed or outcome.p99_ms > OVERLOADED_P99_MS:
            break
    return measured


def _highest(load: _Load, plan: Plan, known: float | None, steps: list[dict[str, Any]], size: int) -> float:
    def holds(rate: float) -> bool:
        return held(load.run(rate, plan.search_s))

    def confirmed(rate: float) -> bool:
        return held(load.run(rate, plan.confirm_s))

    if known:
        return nearby(confirmed, known)
    outcomes = [s["outcome"] for s in steps if s["size"] == size]
    fine = [o["rate"] for o in outcomes if not o["errors"] and o["p99_ms"] < P99_LIMIT_MS]
    return highest_rate(holds, confirmed, start=max(fine, default=plan.rates[0] / 2))
