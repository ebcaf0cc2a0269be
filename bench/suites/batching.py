"""What the model call costs by batch, threads, allocator and padding, and whether requests should share one call."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import uvloop

from adapters.artifact_store import ETA_FILE, MATRIX_FILE
from adapters.onnx_session import INPUT, OUTPUTS
from bench.acceptance import Line
from bench.markdown import table
from bench.suite import Bench, Suite
from bench.vectors import pool
from contracts.schema import Matrix

BATCHES = (1, 8, 32, 64, 512)
BUCKETS = (1, 8, 32, 64, 512)
ODD = (2, 5, 20, 40, 100, 300)
SHARED = (2, 8, 32)
Times = dict[str, Any]


def session(model: bytes, *, threads: int = 1, arena: bool = False, pattern: bool = False) -> ort.InferenceSession:
    """A session like the product's but for what is compared."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena, options.enable_mem_pattern = arena, pattern
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(bench: Bench) -> dict[str, Any]:
    """Interleave the variants over several turns, so that drift meets all alike; figures are p50 in µs."""
    model, vectors = (bench.artifact / ETA_FILE).read_bytes(), pool(bench.artifact)
    calls = 20 if bench.quick else 400
    variants = {
        (threads, arena, pattern): session(model, threads=threads, arena=arena, pattern=pattern)
        for threads, arena, pattern in itertools.product((1, 2), (False, True), (False, True))
    }
    rows = [_row(ETA_FILE, *variant) for variant in variants]
    sessions = list(variants.values())
    if (bench.artifact / MATRIX_FILE).exists():  # the model for hundreds at a time, where it is another one
        rows.append(_row(MATRIX_FILE, 1, arena=False, pattern=False))
        sessions.append(session((bench.artifact / MATRIX_FILE).read_bytes()))
    for batch in BATCHES:
        few = max(20, calls // (8 if batch == BATCHES[-1] else 1))
        for row, us in zip(rows, _interleaved(sessions, vectors[:batch], few), strict=True):
            row["us"][str(batch)] = us
        bench.say(f"batching: {batch} rows: {[row['us'][str(batch)] for row in rows]}")
    plain = variants[1, False, False]
    padding = []
    for rows_asked in ODD:
        bucket = next(size for size in BUCKETS if size >= rows_asked)
        exact = _p50(plain, vectors[:rows_asked], calls)
        padded = _p50_padded(plain, vectors[:rows_asked], bucket, calls)
        padding.append({"rows": rows_asked, "bucket": bucket, "exact_us": exact, "padded_us": padded})
    shared = []
    for n in SHARED:
        apart = n * _p50(plain, vectors[:1], calls)
        together = _p50(plain, vectors[:n], calls)
        shared.append({"requests": n, "apart_us": round(apart, 1), "together_us": together})
    return {
        "calls": calls,
        "rows": rows,
        "padding": padding,
        "shared": shared,
        "gather_us": uvloop.run(_gather_us(calls)),
    }


def _row(file: str, threads: int, arena: bool, pattern: bool) -> dict[str, Any]:  # noqa: FBT001
    return {"file": file, "threads": threads, "arena": arena, "pattern": pattern, "us": {}}


def _interleaved(sessions: Sequence[ort.InferenceSession], x: Matrix, calls: int) -> list[float]:
    taken: list[list[float]] = [[] for _ in sessions]
    for _ in range(5):
        for session_, of in zip(sessions, taken, strict=True):
            of.append(_p50(session_, x, max(4, calls // 5)))
    return [round(float(np.median(of)), 1) for of in taken]


def _p50(of: ort.InferenceSession, x: Matrix, calls: int) -> float:
    outputs, fed = list(OUTPUTS), {INPUT: x}
    for _ in range(3):
        of.run(outputs, fed)
    seconds = []
    for _ in range(calls):
        begin = time.perf_counter()
        of.run(outputs, fed)
        seconds.append(time.perf_counter() - begin)
    return round(float(np.median(seconds)) * 1e6, 1)


def _p50_padded(of: ort.InferenceSession, x: Matrix, bucket: int, calls: int) -> float:
    outputs, seconds = list(OUTPUTS), []
    for _ in range(calls):
        begin = time.perf_counter()
        padded = np.zeros((bucket, x.shape[1]), dtype=np.float32)
        padded[: len(x)] = x
        [values[: len(x)] for values in of.run(outputs, {INPUT: padded})]
        seconds.append(time.perf_counter() - begin)
    return round(float(np.median(seconds)) * 1e6, 1)


async def _gather_us(calls: int) -> float:
    """What a request pays to wait for others: a task, a future, and a turn of the loop."""
    loop, seconds = asyncio.get_running_loop(), []

    async def waiting() -> None:
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future

    for _ in range(10 * calls):
        begin = time.perf_counter()
        await loop.create_task(waiting())
        seconds.append(time.perf_counter() - begin)
    return round(float(np.median(seconds)) * 1e6, 1)


def lines(_: dict[str, Any]) -> Sequence[Line]:
    """Nothing is promised here: settings are chosen by it."""
    return []


def conclusion(result: dict[str, Any]) -> str:
    """Say in one line what the figures advise."""
    gather = result["gather_us"]
    saved = {
        shared["requests"]: (shared["apart_us"] - shared["together_us"]) / shared["requests"]
        for shared in result["shared"]
    }
    # A request that finds nobody has paid for nothing; this share must find company for the sum to be zero.
    shares = {n: gather / us if us > 0 else math.inf for n, us in saved.items()}
    small = min(shares)
    pays = (
        f"pays where more than {100 * shares[small]:.0f} % of requests find another one queued"
        if shares[small] < 1
        else "does not pay"
    )
    told = ", ".join(f"{us:,.1f} at {n}" for n, us in saved.items())
    worse = [p for p in result["padding"] if p["padded_us"] > p["exact_us"] * 1.02]
    ours = [row for row in result["rows"] if row["file"] == ETA_FILE]
    best = min(ours, key=lambda row: row["us"]["1"] + row["us"]["32"])
    return (
        f"One call for several requests of one row saves each {told} µs, and waiting for one another costs each "
        f"{gather:,.1f} µs: micro-batching across requests {pays}. Padding to buckets is slower in {len(worse)} of "
        f"{len(result['padding'])} sizes. Fastest at 1 and 32 rows: {_words(best)}."
    )


def _on(value: bool) -> str:  # noqa: FBT001
    return "on" if value else "off"


def _words(row: dict[str, Any]) -> str:
    threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
    return f"{row['file']}, {threads}, arena {_on(row['arena'])}, pattern {_on(row['pattern'])}"


def page(result: dict[str, Any]) -> str:
    """Tell all three comparisons and what follows."""
    head = ["p50 µs by rows", *map(str, BATCHES)]
    rows = [[_words(row), *(row["us"][str(batch)] for batch in BATCHES)] for row in result["rows"]]
    padding = [[str(p["rows"]), p["bucket"], p["exact_us"], p["padded_us"]] for p in result["padding"]]
    shared = [[str(s["requests"]), s["apart_us"], s["together_us"]] for s in result["shared"]]
    return "\n\n".join(
        [
            table(head, rows),
            table(["rows", "bucket", "exact, µs", "padded to the bucket, µs"], padding),
            table(["requests of one row", "a call each, µs in all", "one call, µs"], shared),
            conclusion(result),
        ]
    )


SUITE = Suite("batching", "Batches, threads and the allocator", run, lines, page)
