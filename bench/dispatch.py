"""`python -m bench.dispatch`: milliseconds and total cost of matching, by size and solver, on one core."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from contracts.dispatch import Drivers, Places, Riders
from contracts.schema import Floats
from contracts.zones import Positions
from serving import assignment
from serving.dispatch import Batch, Greedy, Straight

SIZES = ((100, 100), (100, 300), (300, 300), (500, 500), (1000, 1000), (1000, 3000), (2000, 2000), (5000, 5000))
RESULTS = Path(__file__).parent / "results" / "dispatch_solvers.json"
# A square of about 20 km.
SIDE_LAT, SIDE_LON = 0.18, 0.24

Pairs = tuple[Positions, Positions]


def main(arguments: list[str]) -> int:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.dispatch", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 1,000 riders, three turns")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    sizes = [size for size in SIZES if not chosen.quick or max(size) <= 1000]
    rows = [row for size in sizes for row in measure(*size, turns=3 if chosen.quick else chosen.turns)]
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("| riders x drivers | solver | p50 ms | p99 ms | total cost over the optimum |\n|---|---|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['riders']} x {row['drivers']} | {row['solver']} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} "
            f"| {row['over_optimum_percent']:+.2f} % |"
        )
    return 0


def measure(n: int, m: int, *, turns: int) -> list[dict[str, Any]]:
    """Time every way to match n riders and m drivers, the estimates by the straight line included."""
    riders, drivers = _crowd(n, m)
    batch = Batch(Straight())
    costs, unmatched = _all_costs(batch, riders, drivers)
    ways: dict[str, Callable[[], Pairs]] = {
        "all pairs, dense": lambda: _all_dense(batch, riders, drivers),
        "20 nearest, dense": lambda: _match(batch, riders, drivers, cells=n * m),
        "20 nearest, sparse": lambda: _match(batch, riders, drivers, cells=0),
        "20 nearest, by size": lambda: _match(batch, riders, drivers, cells=assignment.DENSE_CELLS),
        "greedy, oldest first": lambda: _match(Greedy(), riders, drivers, cells=0),
    }
    rows, best = [], 0.0
    for name, way in ways.items():
        (rider, driver), seconds = way(), []
        for _ in range(max(turns // 10, 1) if n * m > 4_000_000 else turns):
            begin = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - begin)
        total = float(costs[rider, driver].sum()) + unmatched * (n - len(rider))
        best = best or total  # the first way is the optimum
        rows.append(
            {
                "riders": n,
                "drivers": m,
                "solver": name,
                "turns": len(seconds),
                "p50_ms": float(np.median(seconds)) * 1e3,
                "p99_ms": float(np.quantile(seconds, 0.99)) * 1e3,
                "over_optimum_percent": 100 * (total / best - 1),
            }
        )
    return rows


def _crowd(n: int, m: int) -> tuple[Riders, Drivers]:
    rng = np.random.default_rng(n * 10_007 + m)
    riders = Riders(_scatter(n, rng), rng.random(n) * 60)
    return riders, Drivers(_scatter(m, rng), np.zeros(m), rng.random(m) * 600)


def _scatter(n: int, rng: np.random.Generator) -> Places:
    return Places(40.6 + SIDE_LAT * rng.random(n), -74.1 + SIDE_LON * rng.random(n), np.zeros(n, dtype=np.intp))


def _all_costs(batch: Batch, riders: Riders, drivers: Drivers) -> tuple[Floats, float]:
    n, m = len(riders), len(drivers)
    rider, driver = np.divmod(np.arange(n * m), m)
    drive_s = batch.eta.seconds(drivers.at.take(driver), riders.at.take(rider), 0.0)
    unmatched = (batch.weights.pickup + batch.weights.empty) * batch.max_pickup_s + batch.weights.cancellation
    cost = batch.weights.cost(
        drive_s,
        free_in_s=np.zeros(n * m),
        waited_s=riders.waiting_s[rider],
        idle_s=drivers.idle_s[driver],
        patience=batch.patience,
    )
    cost[drive_s > batch.max_pickup_s] = unmatched
    return np.minimum(cost, unmatched).reshape(n, m), unmatched


def _all_dense(batch: Batch, riders: Riders, drivers: Drivers) -> Pairs:
    costs, unmatched = _all_costs(batch, riders, drivers)
    rider, driver = linear_sum_assignment(costs)
    made = costs[rider, driver] < unmatched
    return rider[made], driver[made]


def _match(match: Batch | Greedy, riders: Riders, drivers: Drivers, *, cells: int) -> Pairs:
    usual = assignment.DENSE_CELLS
    assignment.DENSE_CELLS = cells  # type: ignore[misc] # the solver under test
    try:
        made = match(riders, drivers, 0.0)
    finally:
        assignment.DENSE_CELLS = usual  # type: ignore[misc]
    return made.rider, made.driver


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
