"""Matching, against the dense optimum and by what must hold for any input."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from contracts.dispatch import Drivers, Patience, Places, Riders, line_km
from contracts.schema import Floats
from serving import assignment
from serving.assignment import Pairs, cheapest
from serving.dispatch import Batch, Greedy, Straight, Weights, nearby

EQUATOR_DEGREE_KM = 111.195


def places(lon: list[float]) -> Places:
    """Points along the equator."""
    return Places(np.zeros(len(lon)), np.array(lon), np.zeros(len(lon), dtype=np.intp))


def scattered(n: int, rng: np.random.Generator) -> Places:
    """Points in a square of about 20 km."""
    return Places(40.6 + 0.18 * rng.random(n), -74.1 + 0.24 * rng.random(n), np.zeros(n, dtype=np.intp))


def crowd(n: int, m: int, seed: int) -> tuple[Riders, Drivers]:
    """Riders and drivers with waits and idle times."""
    rng = np.random.default_rng(seed)
    riders = Riders(scattered(n, rng), rng.random(n) * 120)
    return riders, Drivers(scattered(m, rng), rng.random(m) * 60, rng.random(m) * 900)


@dataclass
class CountingEta:
    """The straight line, noting what it was asked."""

    asked: list[int] = field(default_factory=list)

    def seconds(self, origins: Places, destinations: Places, at: float) -> Floats:
        """As `Straight`."""
        self.asked.append(len(origins))
        return Straight().seconds(origins, destinations, at)


def best_total(cost: Floats, unmatched: float) -> float:
    """Try every way to give rows columns or nothing."""
    rows, columns = cost.shape
    wide = np.hstack([cost, np.full((rows, rows), unmatched)])
    return min(
        sum(wide[row, column] for row, column in enumerate(order))
        for order in permutations(range(columns + rows), rows)
    )


@pytest.mark.parametrize("solver", ["dense", "sparse"])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), rows=st.integers(1, 3), columns=st.integers(1, 3))
def test_both_solvers_find_the_cheapest(solver: str, data: st.DataObject, rows: int, columns: int) -> None:
    """Against trying everything, with negative costs, absent pairs and pairs that are not worth it."""
    whole = st.lists(st.integers(-50, 150), min_size=rows * columns, max_size=rows * columns)
    cost = np.array(data.draw(whole), dtype=np.float64)
    present = np.array(data.draw(st.lists(st.booleans(), min_size=len(cost), max_size=len(cost))))
    rider, driver = np.divmod(np.arange(rows * columns), columns)
    pairs = Pairs(rider[present], driver[present])
    limit = assignment.DENSE_CELLS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "DENSE_CELLS", limit if solver == "dense" else 0)
        made = cheapest(pairs, cost[present], unmatched=100.0)
    total = cost[present][made].sum() + 100.0 * (rows - len(made))
    assert total == best_total(np.where(present, cost, 1e9).reshape(rows, columns), 100.0)
    assert len(set(pairs.rider[made])) == len(set(pairs.driver[made])) == len(made)


@pytest.mark.parametrize(("n", "m"), [(30, 30), (120, 120), (80, 300), (300, 80), (250, 260)])
def test_total_cost_is_near_the_dense_optimum(n: int, m: int) -> None:
    """Twenty neighbours lose less than 1 % of the total cost that all pairs would reach."""
    riders, drivers = crowd(n, m, seed=n + m)
    batch = Batch(Straight())
    rider, driver = np.divmod(np.arange(n * m), m)
    drive_s = Straight().seconds(drivers.at.take(driver), riders.at.take(rider), 0.0)
    free_in_s = drivers.free_in_s[driver]
    cost = batch.weights.cost(
        drive_s,
        free_in_s=free_in_s,
        waited_s=riders.waiting_s[rider],
        idle_s=drivers.idle_s[driver],
        patience=batch.patience,
    )
    unmatched = 2 * batch.max_pickup_s + batch.weights.cancellation
    cost[drive_s + free_in_s > batch.max_pickup_s] = unmatched
    cells = np.minimum(cost, unmatched).reshape(n, m)
    best = cells[linear_sum_assignment(cells)].sum() + unmatched * max(n - m, 0)
    made = batch(riders, drivers, 0.0)
    ours = cells[made.rider, made.driver].sum() + unmatched * (n - len(made.rider))
    assert ours <= best * 1.01


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 60), m=st.integers(0, 60), seed=st.integers(0, 1000), greedy=st.booleans())
def test_nobody_stands_in_two_pairs(n: int, m: int, seed: int, *, greedy: bool) -> None:
    """One driver a rider and one rider a driver, riders in order, and the same answer twice."""
    riders, drivers = crowd(n, m, seed)
    match = Greedy() if greedy else Batch(Straight())
    first, second = match(riders, drivers, 0.0), match(riders, drivers, 0.0)
    assert len(set(first.rider.tolist())) == len(set(first.driver.tolist())) == len(first.rider)
    assert (np.diff(first.rider) > 0).all()
    assert len(first.rider) <= min(n, m)
    assert np.array_equal(first.rider, second.rider)
    assert np.array_equal(first.driver, second.driver)


def test_batch_gives_up_the_nearest_for_the_sake_of_both() -> None:
    """The oldest rider's nearest driver is the other one's only near one: a batch swaps, greedy does not."""
    riders = Riders(places([0.0, 0.02]), np.array([10.0, 0.0]))
    drivers = Drivers(places([0.015, -0.017]), np.zeros(2), np.zeros(2))
    assert Greedy()(riders, drivers, 0.0).driver.tolist() == [0, 1]
    assert Batch(Straight())(riders, drivers, 0.0).driver.tolist() == [1, 0]


def test_a_driver_who_is_free_soon_and_near_beats_a_free_one_far_away() -> None:
    """The rest of the present ride counts as pickup time, and the estimate says both together."""
    riders = Riders(places([0.0]), np.zeros(1))
    drivers = Drivers(places([0.001, 0.03]), np.array([60.0, 0.0]), np.zeros(2))
    made = Batch(Straight())(riders, drivers, 0.0)
    assert made.driver.tolist() == [0]
    assert made.pickup_s[0] == pytest.approx(60 + 0.001 * EQUATOR_DEGREE_KM * 300, rel=1e-3)


def test_who_is_too_far_away_waits_on() -> None:
    """A pickup beyond the bound is not offered, by either way to match."""
    riders, drivers = Riders(places([0.0]), np.zeros(1)), Drivers(places([1.0]), np.zeros(1), np.zeros(1))
    for match in (Greedy(), Greedy(first="nearest"), Batch(Straight())):
        assert len(match(riders, drivers, 0.0).rider) == 0


def test_waiting_and_idle_time_break_the_tie() -> None:
    """Of two riders at one place the one who waits longer goes first; of two drivers the one who stood idle longer."""
    riders = Riders(places([0.0, 0.0]), np.array([0.0, 30.0]))
    drivers = Drivers(places([0.01]), np.zeros(1), np.zeros(1))
    weights = Weights(cancellation=0.0)
    assert Batch(Straight(), weights)(riders, drivers, 0.0).rider.tolist() == [1]
    two = Drivers(places([0.01, 0.01]), np.zeros(2), np.array([60.0, 600.0]))
    assert Batch(Straight(), weights)(Riders(places([0.0]), np.zeros(1)), two, 0.0).driver.tolist() == [1]


def test_greedy_lets_the_oldest_rider_choose_or_the_nearest_pair_go_first() -> None:
    """One driver: the oldest rider has him by one rule, the nearest rider by the other."""
    riders = Riders(places([0.001, 0.01]), np.array([0.0, 100.0]))
    drivers = Drivers(places([0.0]), np.zeros(1), np.zeros(1))
    assert Greedy()(riders, drivers, 0.0).rider.tolist() == [1]
    assert Greedy(first="nearest")(riders, drivers, 0.0).rider.tolist() == [0]


def test_estimates_are_asked_once_and_for_candidates_only() -> None:
    """300 riders and 900 drivers ask for 20 pairs a rider in one call, not for 270,000."""
    riders, drivers = crowd(300, 900, seed=1)
    eta = CountingEta()
    Batch(eta)(riders, drivers, 0.0)
    assert eta.asked == [300 * 20]


def test_candidates_are_the_nearest_of_the_scarcer_side() -> None:
    """Each of 3 drivers gets its nearest riders among 500; nobody else is a candidate."""
    rng = np.random.default_rng(4)
    riders, drivers = scattered(500, rng), scattered(3, rng)
    pairs = nearby(riders, drivers, 5)
    for driver in range(3):
        km = line_km(riders, drivers.take(np.full(500, driver)))
        assert set(pairs.rider[pairs.driver == driver]) == set(np.argsort(km)[:5])


def test_patience_runs_out_faster_the_longer_one_has_waited() -> None:
    """The chance to be lost in the next minute grows, and draws follow the law."""
    patience = Patience(scale_s=900.0, shape=2.0)
    lost = patience.lost(np.array([0.0, 300.0, 600.0]), np.full(3, 60.0))
    assert (np.diff(lost) > 0).all()
    drawn = patience.draw(np.random.default_rng(0).random(20_000))
    assert (drawn <= 300).mean() == pytest.approx(1 - np.exp(-1 / 9), abs=0.01)
