"""Lines of acceptance from results."""

from __future__ import annotations

import numpy as np
import pytest

from bench import promises
from bench.acceptance import Line, at_least, at_most, table
from bench.process_names import REPLICA, named
from bench.profile import stages
from bench.store_watch import Watch
from bench.suites import memory, overload, store_outage
from bench.trace import Trace
from bench.turn import worth_sending


def _row(table: str, name: str, rate: float, p50: float = 1.0, p99: float = 2.0) -> dict[str, object]:
    steps = [{"size": 1, "rate": 200, "p50_ms": p50, "p99_ms": p99}]
    return {"table": table, "name": name, "median": {"highest": {"1": rate}, "steps": steps}}


def test_ratios_are_of_the_rows_of_one_run() -> None:
    """Ours over the quick start, over the best peer, of the limit; the limit is no peer."""
    rows = [
        _row("A", "Tandem", 3000, p50=1.5, p99=3.9),
        _row("A", "Limit: raw ASGI", 4000),
        _row("A", "FastAPI + uvicorn", 2500),
        _row("A", "Ray Serve quick start", 100),
    ]
    found = {line.what: line for line in promises.lines({"plan": {"sizes": [1]}, "rows": rows})}
    assert found["A, 1 trip a request: highest rate over Ray Serve's quick start"].met is True
    assert found["A, 1 trip a request: over the best peer"] == Line(
        "A, 1 trip a request: over the best peer", "≥ 1.4 x", "1.20 x", met=False
    )
    assert found["A, 1 trip a request: of the limit"].figure == "0.75 x"
    assert found["A: p50 at 200/s above the limit's"].figure == "0.50 ms"
    assert found["A: p99 at 200/s over the limit's"].met is True
    assert found["B, 1 trip a request: of the limit"].met is None


def test_what_was_not_measured_is_no_pass() -> None:
    """It says so instead."""
    assert at_most("x", None, 1, " ms").met is None
    assert at_least("x", 2.0, 1, " ms").met is True
    assert "| x | ≤ 1 ms | not measured | not measured |" in table([at_most("x", None, 1, " ms")])


def test_rates_that_drowned_are_not_sent_again() -> None:
    """The lowest is, and all are in the first turn."""
    assert worth_sending((50, 200, 500, 1000), None) == [50, 200, 500, 1000]
    assert worth_sending((50, 200, 500, 1000), 400) == [50, 200, 500]
    assert worth_sending((50, 200), 8) == [50]


def test_growth_is_that_of_the_replica_that_grew_most() -> None:
    """What was before the caches had filled does not count, and a replica that is gone was not measured."""
    samples = [
        {"at_s": at, "mib": {"1": one, "2": two}} for at, one, two in ((10, 50, 50), (60, 100, 100), (70, 101, 104))
    ]
    assert memory.growth(samples, 60) == 4.0
    assert memory.growth(samples[:2], 60) is None
    assert memory.growth([samples[1], {"at_s": 70, "mib": {"1": 101, "2": 0}}], 60) is None


def test_processes_are_named_by_what_they_run() -> None:
    """Titles and commands, the nearest first."""
    assert named(["ray::ServeReplica:tandem:online"]) == REPLICA
    assert named(["ray::ServeController.run"]) == "Serve controller"
    assert named(["/x/raylet/raylet", "--agent=/x/runtime_env/agent/main.py"]) == "raylet"
    assert named(["python", "-m", "pipelines.stack"]) == "supervisor"
    assert named(["something", "else"]) == "something else"


def test_stages_add_up_to_all() -> None:
    """A function that no stage claims stands for itself."""
    found = stages({"serving.trips.CityTrips.keys": 0.25, "contracts.transforms.trip_keys": 0.25, "serving.new.f": 0.5})
    assert found == {"keys": 0.5, "serving.new.f": 0.5}


def test_a_breaker_counts_when_the_last_replica_has_it() -> None:
    """Open: both seen open. Closed: both closed for good, and reading."""
    watch = Watch(
        [
            (1.0, "a", False, 5), (1.1, "a", True, 6), (1.2, "b", True, 6),
            (2.0, "a", False, 7), (2.1, "a", True, 7), (2.2, "a", False, 7), (2.3, "b", False, 7),
            (2.4, "a", False, 8), (2.5, "b", False, 8),
        ]
    )  # fmt: skip
    assert watch.opened_after(1.0, 2) == 1.2
    assert watch.opened_after(1.15, 3) is None
    assert watch.closed_after(1.9, 2) == 2.3
    assert watch.closed_after(2.45, 2) is None


def _outage() -> Trace:
    due = np.arange(300) / 10
    words = ["model"] * 100 + ["features_timeout"] * 10 + ["features_unavailable"] * 92 + ["model"] * 98
    return Trace(10, 30, 100.0, 300, due, np.full(300, 2.0), np.full(300, 200), words, {})


def test_an_outage_is_judged_from_the_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh again is when both the breakers are closed and the answers are the model's."""
    watch = Watch([(110.5, "a", True, 3), (120.1, "a", False, 4), (120.4, "a", False, 5)])
    monkeypatch.setattr(store_outage, "RUN", 50)
    row = store_outage.judged(_outage(), watch, 110.0, 120.0, 1)
    assert row["breaker_open_s"] == 0.5
    assert row["fresh_again_s"] == pytest.approx(0.2)
    assert row["answered_by"] == {"features_timeout": 10, "features_unavailable": 90}
    result = {"rows": [{"variant": "x", "replicas": 1, **row}], "rate": 1, "stopped_s": 10.0}
    assert [line.met for line in store_outage.lines(result)] == [True, True, True, True, True]
    assert "features_unavailable 90.0 %" in store_outage.page(result)


def test_a_breaker_that_never_opened_is_no_pass() -> None:
    """Nothing seen is nothing measured."""
    row = store_outage.judged(_outage(), Watch([]), 110.0, 120.0, 1)
    assert row["breaker_open_s"] is None
    assert row["fresh_again_s"] is None


def test_overload_is_judged_at_the_highest_rate() -> None:
    """Goodput there against the best, and refusals there."""
    result = {"share_of_best": 0.95, "rows": [{"rate": 900, "refused_p99_ms": 25.0}], "recovered_s": 1.0}
    assert [line.met for line in overload.lines(result)] == [True, False, True]
