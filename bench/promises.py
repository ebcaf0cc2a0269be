"""What the side-by-side tables have to show: ratios of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.acceptance import Line, at_least, at_most

OURS, QUICK_START, SDK = "Tandem", "Ray Serve quick start", "FastAPI + Feast SDK"
LIMIT = "Limit"
RATE = 200
Row = Mapping[str, Any]


def lines(result: Mapping[str, Any]) -> Sequence[Line]:
    """Judge highest rates at every size, and latencies of one trip at 200/s."""
    found: list[Line] = []
    sizes = result["plan"]["sizes"]
    for size in sizes:
        a, b = _rates(result, "A", size), _rates(result, "B", size)
        what = f"{size} trip{'s' if size > 1 else ''} a request"
        found += [
            at_least(
                f"A, {what}: highest rate over Ray Serve's quick start", _ratio(a, OURS, QUICK_START), 30, " x", 1
            ),
            at_least(f"A, {what}: over the best peer", _ratio(a, OURS, _best_peer(a)), 1.4, " x"),
            at_least(f"A, {what}: of the limit", _ratio(a, OURS, _limit(a)), 0.8, " x"),
            at_least(f"B, {what}: over FastAPI with Feast's SDK", _ratio(b, OURS, SDK), 5, " x", 1),
            at_least(f"B, {what}: of the limit", _ratio(b, OURS, _limit(b)), 0.7, " x"),
        ]
    for table in ("A", "B"):
        ours, limit = _step(result, table, OURS, sizes[0]), _step(result, table, LIMIT, sizes[0])
        p50 = ours["p50_ms"] - limit["p50_ms"] if ours and limit else None
        p99 = ours["p99_ms"] / limit["p99_ms"] if ours and limit else None
        found += [
            at_most(f"{table}: p50 at {RATE}/s above the limit's", p50, 1, " ms"),
            at_most(f"{table}: p99 at {RATE}/s over the limit's", p99, 2, " x"),
        ]
    return found


def _rates(result: Mapping[str, Any], table: str, size: int) -> dict[str, float]:
    rows = [row for row in result["rows"] if row["table"] == table and row["median"]]
    return {row["name"]: row["median"]["highest"][str(size)] for row in rows}


def _ratio(rates: Mapping[str, float], ours: str, other: str | None) -> float | None:
    if ours not in rates or other is None or not rates.get(other):
        return None
    return rates[ours] / rates[other]


def _limit(rates: Mapping[str, float]) -> str | None:
    return next((name for name in rates if name.startswith(LIMIT)), None)


def _best_peer(rates: Mapping[str, float]) -> str | None:
    peers = {name: rate for name, rate in rates.items() if name != OURS and not name.startswith(LIMIT)}
    return max(peers, key=lambda name: peers[name]) if peers else None


def _step(result: Mapping[str, Any], table: str, name: str, size: int) -> Row | None:
    for row in result["rows"]:
        if row["table"] == table and row["name"].startswith(name):
            steps = row["median"].get("steps", [])
            return next((step for step in steps if step["size"] == size and step["rate"] == RATE), None)
    return None
