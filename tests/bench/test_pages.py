"""What suites say of their results."""

from __future__ import annotations

from typing import Any

from bench.suites import adr_data_plane, batching, dispatch, memory, model_time


def _fault(failed: int, error: str = "", *, ends: bool = True) -> dict[str, Any]:
    return {"sent": 100, "failed": failed, "answers_at_the_end": ends, "error": error}


def test_a_fault_that_was_not_done_is_no_success() -> None:
    """It says so instead of counting nothing failed; a plane that stays down says that."""
    faults = {
        "replica SIGKILL": _fault(1),
        "rolling update": _fault(0, "TimeoutExpired"),
        "HAProxy SIGKILL": _fault(90, ends=False),
    }
    row = {"plane": "x", "highest": 1000, "p50_ms": 1.0, "p99_ms": 2.0, "faults": faults}
    page = adr_data_plane.page({"rate": 200, "replicas": 2, "rows": [row]})
    assert "| failed of 200/s: replica SIGKILL | 1 of 100 |" in page
    assert "not done: TimeoutExpired" in page
    assert "90 of 100, stays down" in page


def _batching(gather_us: float) -> dict[str, Any]:
    us = {str(batch): float(batch) for batch in batching.BATCHES}
    row = {"file": "eta.onnx", "threads": 1, "arena": False, "pattern": False, "us": us}
    return {
        "rows": [row],
        "padding": [{"rows": 2, "bucket": 8, "exact_us": 2.0, "padded_us": 8.0}],
        "shared": [{"requests": 2, "apart_us": 20.0, "together_us": 10.0}],
        "gather_us": gather_us,
    }


def test_micro_batching_has_to_find_company() -> None:
    """Two calls in one save 5 µs each: with 4 to pay, more than four in five must find another one."""
    assert "pays where more than 80 % of requests find another one queued" in batching.conclusion(_batching(4.0))
    assert "micro-batching across requests does not pay" in batching.conclusion(_batching(6.0))
    assert "slower in 1 of 1 sizes" in batching.page(_batching(6.0))


def test_the_log_decides_where_there_is_one() -> None:
    """Its times are exact; without it the share within the bucket of 1 ms is."""
    result: dict[str, Any] = {"logged": {"rows": 3, "p50_ms": 0.1, "p99_ms": 1.2}, "share_within_1_ms": 0.999}
    assert [line.met for line in model_time.lines(result)] == [False]
    result["logged"] = {"rows": 0, "p50_ms": None, "p99_ms": None}
    assert [line.met for line in model_time.lines(result)] == [True]


def test_memory_is_told_a_process_a_line() -> None:
    """At rest and after, and a dash for one that is gone."""
    rest = [{"name": "replica", "pid": 1, "mib": 100.0}, {"name": "HAProxy", "pid": 2, "mib": 10.0}]
    result = {
        "rate": 300, "minutes": 10.0, "answered": 5, "errors": {}, "rest_mib": rest, "loaded_mib": rest[:1],
        "samples": [], "growth_percent": None, "settled_s": 60.0,
    }  # fmt: skip
    page = memory.page(result)
    assert "| HAProxy | 10.0 | - |" in page
    assert "| all | 110 | 100 |" in page
    assert memory.lines(result)[0].met is None


def test_dispatch_is_judged_by_its_batch_of_a_thousand() -> None:
    """Greedy's time and other sizes are told, and not judged."""
    figures = dict.fromkeys(
        ("p50_ms", "cpu_ms", "matrix_p50_ms", "solve_p50_ms", "cold_ms", "loop_late_p99_ms", "loop_late_most_ms"), 1.0
    )
    rows = [
        {**figures, "riders": 1000, "drivers": drivers, "policy": policy, "p99_ms": p99_ms, "calls": 30}
        for drivers, policy, p99_ms in ((1000, "batch", 200.0), (3000, "greedy", 300.0), (3000, "batch", 140.0))
    ]
    (line,) = dispatch.lines({"rows": rows})
    assert line.met
    assert "| 1,000 x 3,000, greedy | 1.00 | 300 |" in dispatch.page({"rows": rows})
    assert dispatch.lines({"rows": []})[0].met is None
