"""Who drives to whom: candidates nearby, estimates for those pairs only, costs in seconds, one assignment for all.

Pure: the same riders, drivers and estimates give the same pairs. The clock only times the parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from scipy.spatial import cKDTree

from contracts.clock import Clock, SystemClock
from contracts.dispatch import Assignment, Drivers, EtaSource, Patience, Places, Riders, line_km
from contracts.schema import Floats
from contracts.zones import Positions
from serving.assignment import Pairs, Solver, cheapest, sparse

# So few pairs are all worth an estimate.
ALL_PAIRS: Final = 400
# For so few, to compute all distances costs less than to build a tree.
BRUTE_ROWS: Final = 8
# Sides whose sizes differ by less each need their own nearest: either may be the one that runs short.
NEARLY_BALANCED: Final = 1.5
NOBODY: Final = Assignment(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0))


@dataclass(frozen=True)
class Weights:
    """What a pair costs, in seconds of pickup time.

    A pair costs `pickup` times the seconds until the driver is there, plus `empty` times the driving among them, which
    nobody pays for and which keeps the driver from others, plus `cancellation` times the chance that the rider is lost
    by then, less `waiting` times the wait so far and `idle` times the driver's idle time.
    """

    pickup: float = 1.0
    empty: float = 1.0
    cancellation: float = 300.0
    waiting: float = 0.1
    idle: float = 0.01

    def cost(
        self, drive_s: Floats, *, free_in_s: Floats, waited_s: Floats, idle_s: Floats, patience: Patience
    ) -> Floats:
        """Costs [n] of pairs [n], in seconds."""
        pickup_s = free_in_s + drive_s
        effort = self.pickup * pickup_s + self.empty * drive_s + self.cancellation * patience.lost(waited_s, pickup_s)
        return effort - self.waiting * waited_s - self.idle * idle_s


@dataclass(frozen=True)
class Straight:
    """The straight line at one speed (km/h): distance, told in seconds."""

    speed_km_h: float = 12.0

    def seconds(self, origins: Places, destinations: Places, at: float) -> Floats:  # noqa: ARG002 - EtaSource
        """Seconds [n] along the straight lines."""
        return line_km(origins, destinations) * 3600 / self.speed_km_h


@dataclass(frozen=True)
class Batch:
    """All riders at once, at the lowest total cost. A pickup over `max_pickup_s` is not offered.

    `solver` is for the many; what it raises comes out.
    """

    eta: EtaSource
    weights: Weights = field(default_factory=Weights)
    patience: Patience = field(default_factory=Patience)
    neighbours: int = 20
    max_pickup_s: float = 1800.0
    clock: Clock = field(default_factory=SystemClock)
    solver: Solver = sparse

    def __call__(self, riders: Riders, drivers: Drivers, at: float) -> Assignment:
        """Match at the moment `at` (Unix seconds)."""
        if not len(riders) or not len(drivers):
            return NOBODY
        begin = self.clock.monotonic()
        pairs = nearby(riders.at, drivers.at, self.neighbours)
        asked = self.clock.monotonic()
        drive_s = self.eta.seconds(drivers.at.take(pairs.driver), riders.at.take(pairs.rider), at)
        answered = self.clock.monotonic()
        free_in_s = drivers.free_in_s[pairs.driver]
        pickup_s = free_in_s + drive_s
        cost = self.weights.cost(
            drive_s,
            free_in_s=free_in_s,
            waited_s=riders.waiting_s[pairs.rider],
            idle_s=drivers.idle_s[pairs.driver],
            patience=self.patience,
        )
        cost[pickup_s > self.max_pickup_s] = np.inf
        # The most that an offered pair can cost: to be matched late is better than not to be.
        dearest = (self.weights.pickup + self.weights.empty) * self.max_pickup_s + self.weights.cancellation
        made = cheapest(pairs, cost, unmatched=dearest, solver=self.solver)
        matrix_s = answered - asked
        solve_s = self.clock.monotonic() - begin - matrix_s
        return Assignment(pairs.rider[made], pairs.driver[made], pickup_s[made], matrix_s, solve_s)


@dataclass(frozen=True)
class Greedy:
    """One after the other, each to what is nearest by the straight line: the way before batches.

    `first` says whose turn it is: "oldest", the rider who has waited longest takes the nearest driver, or "nearest",
    the rider and the driver who are closest to one another.
    """

    eta: EtaSource = field(default_factory=Straight)
    first: Literal["oldest", "nearest"] = "oldest"
    max_pickup_s: float = 1800.0
    clock: Clock = field(default_factory=SystemClock)

    def __call__(self, riders: Riders, drivers: Drivers, at: float) -> Assignment:
        """Match at the moment `at` (Unix seconds)."""
        if not len(riders) or not len(drivers):
            return NOBODY
        begin = self.clock.monotonic()
        pairs = (self._oldest if self.first == "oldest" else self._nearest)(riders, drivers)
        asked = self.clock.monotonic()
        pickup_s = self.eta.seconds(drivers.at.take(pairs.driver), riders.at.take(pairs.rider), at)
        answered = self.clock.monotonic()
        pickup_s = pickup_s + drivers.free_in_s[pairs.driver]
        near = np.flatnonzero(pickup_s <= self.max_pickup_s)
        matrix_s = answered - asked
        return Assignment(pairs.rider[near], pairs.driver[near], pickup_s[near], matrix_s, asked - begin)

    @staticmethod
    def _oldest(riders: Riders, drivers: Drivers) -> Pairs:
        turn = np.argsort(-riders.waiting_s, kind="stable")[: len(drivers)]
        taken = np.empty(len(turn), dtype=np.intp)
        point_of, spot = _flat(riders.at, drivers.at)
        for i, point in enumerate(point_of[turn]):
            taken[i] = np.argmin(((spot - point) ** 2).sum(axis=1))
            spot[taken[i]] = np.inf
        order = np.argsort(turn)
        return Pairs(turn[order], taken[order])

    @staticmethod
    def _nearest(riders: Riders, drivers: Drivers) -> Pairs:
        here, there = _flat(riders.at, drivers.at)
        gap = ((here[:, None] - there[None]) ** 2).sum(axis=2)
        driver_of = np.full(len(riders), -1)
        for _ in range(min(gap.shape)):
            rider, driver = np.unravel_index(np.argmin(gap), gap.shape)
            driver_of[rider] = driver
            gap[rider], gap[:, driver] = np.inf, np.inf
        rider_rows = np.flatnonzero(driver_of >= 0)
        return Pairs(rider_rows, driver_of[rider_rows])


def nearby(riders: Places, drivers: Places, neighbours: int) -> Pairs:
    """The pairs worth an estimate: for each of the scarcer side its nearest of the other, by the straight line.

    All pairs where they are few.
    """
    n, m = len(riders), len(drivers)
    if n * m <= max(ALL_PAIRS, min(n, m) * neighbours):
        return Pairs(np.repeat(np.arange(n), m), np.tile(np.arange(m), n))
    keys: list[Positions] = []
    if n <= m * NEARLY_BALANCED:
        rider, driver = _nearest_of(riders, drivers, neighbours)
        keys.append(rider * m + driver)
    if m <= n * NEARLY_BALANCED:
        driver, rider = _nearest_of(drivers, riders, neighbours)
        keys.append(rider * m + driver)
    key = np.unique(np.concatenate(keys))
    return Pairs(key // m, key % m)


def _nearest_of(few: Places, many: Places, neighbours: int) -> tuple[Positions, Positions]:
    k = min(neighbours, len(many))
    here, there = _flat(few, many)
    if len(few) <= BRUTE_ROWS:
        gap = ((here[:, None] - there[None]) ** 2).sum(axis=2)
        found = np.argpartition(gap, k - 1, axis=1)[:, :k]
    else:
        found = np.asarray(cKDTree(there).query(here, k=k)[1], dtype=np.intp)
    return np.repeat(np.arange(len(few)), k), found.ravel()


def _flat(a: Places, b: Places) -> tuple[Floats, Floats]:
    """Both in one plane, [n, 2], where what is nearest in the city is nearest."""
    squeeze = math.cos(math.radians(float(b.lat[0])))
    return np.column_stack([a.lat, a.lon * squeeze]), np.column_stack([b.lat, b.lon * squeeze])
