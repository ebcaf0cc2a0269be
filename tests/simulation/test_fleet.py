"""A simulated day: who is where, what riders and drivers go through, and experiments on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.dispatch import Assignment, Drivers, Patience, Places, Riders
from simulation.city import City
from simulation.day import Log, Policy, simulate_day
from simulation.fleet import Crew, Fleet
from simulation.maps import draw_waits
from simulation.outcomes import change, compute, gini, outcomes, wait_by_zone, with_interval
from simulation.riders import Requests
from simulation.switchback import Switchback, bands, user_split
from simulation.travel import MEETING_S, Oracle, Travel
from simulation.world import Scenario, World
from tests.small_city import small_wheel


class AtOnce:
    """A window of no length."""

    def arrived(self, now: float) -> None:
        """Nothing."""

    def length_s(self, now: float, *, waiting: int, free: int, carried: bool) -> float:  # noqa: ARG002 - Window
        """No wait, two seconds for who was left."""
        return 2.0 if carried else 0.0


def in_order(riders: Riders, drivers: Drivers, at: float) -> Assignment:
    """The first rider gets the first driver, and so on."""
    n = min(len(riders), len(drivers))
    return Assignment(np.arange(n), np.arange(n), np.full(n, 60.0), 0.001, 0.002)


def arms(*names: str, horizon_s: float = 0.0) -> list[Policy]:
    """Policies that match in order."""
    return [Policy(name, in_order, AtOnce, horizon_s) for name in names]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    """Three zones."""
    return City.from_wheel(small_wheel(tmp_path_factory.mktemp("city") / "city.whl"))


@pytest.fixture(scope="module")
def world(city: City) -> World:
    """Two busy hours."""
    return World.draw(city, Scenario(scale=12.0, hours=(8.0, 9.5), supply=1.0), seed=3)


@pytest.fixture(scope="module")
def log(world: World) -> Log:
    """The day under one policy."""
    return run(world, arms("only"))


def run(world: World, policies: list[Policy], arm: np.ndarray | None = None) -> Log:
    """Simulate a world."""
    everyone = np.zeros(len(world.requests), dtype=np.intp) if arm is None else arm
    return simulate_day(world.requests, world.crew, world.travel, policies, everyone, midnight=world.scenario.midnight)


def test_every_request_ends_one_way(world: World, log: Log) -> None:
    """Each rider is picked up or has cancelled, in time and with patience to spare; nobody both, nobody neither."""
    picked_up, cancelled = ~np.isnan(log.picked_up_s), ~np.isnan(log.cancelled_s)
    assert (picked_up ^ cancelled).all()
    assert picked_up.any()
    assert cancelled.any()
    assert (log.picked_up_s[picked_up] <= world.requests.give_up_s[picked_up]).all()
    assert np.array_equal(log.cancelled_s[cancelled], world.requests.give_up_s[cancelled])
    assert (log.picked_up_s - log.assigned_s)[picked_up].min() >= MEETING_S
    assert (log.assigned_s >= world.requests.at_s)[~np.isnan(log.assigned_s)].all()


@pytest.mark.parametrize("horizon_s", [0.0, 90.0])
def test_no_driver_serves_two_riders_at_once(world: World, horizon_s: float) -> None:
    """Of one driver the rides never overlap, and a driver is on the way to one rider at a time, promised or not."""
    log = run(world, arms("only", horizon_s=horizon_s))
    served = np.flatnonzero(~np.isnan(log.picked_up_s))
    end_s = log.picked_up_s + world.requests.ride_s
    for driver in np.unique(log.driver[served]):
        mine = served[log.driver[served] == driver]
        mine = mine[np.argsort(log.picked_up_s[mine])]
        assert (log.picked_up_s[mine][1:] >= end_s[mine][:-1] + MEETING_S - 1e-6).all()


def test_the_same_seed_gives_the_same_day(city: City, world: World, log: Log) -> None:
    """Drawn and simulated again, all is as it was; another seed is another day."""
    again = World.draw(city, world.scenario, seed=3)
    assert np.array_equal(again.requests.at_s, world.requests.at_s)
    assert np.array_equal(run(again, arms("only")).picked_up_s, log.picked_up_s, equal_nan=True)
    assert not np.array_equal(World.draw(city, world.scenario, seed=4).requests.at_s[:5], world.requests.at_s[:5])


def test_supply_changes_drivers_and_nothing_else(city: City, world: World) -> None:
    """At twice the supply twice the drivers meet the same riders, and more of them are served."""
    scenario = Scenario(scale=12.0, hours=(8.0, 9.5), supply=2.0)
    double = World.draw(city, scenario, seed=3)
    assert double.seats == pytest.approx(2 * world.seats, abs=1)
    assert np.array_equal(double.requests.give_up_s, world.requests.give_up_s)
    few, many = run(world, arms("only")), run(double, arms("only"))
    assert np.isnan(many.cancelled_s).sum() > np.isnan(few.cancelled_s).sum()


def test_requests_follow_the_demand(city: City) -> None:
    """The number in the hours is Poisson about the city's figure; waits end by the law of patience."""
    travel = Travel.draw(city, np.random.default_rng(0))
    requests = Requests.draw(
        city, travel, Patience(), np.random.default_rng(1), weekday=1, hours=(7.0, 9.0), scale=100.0
    )
    expected = city.demand[1, 28:36].sum() * 100
    assert abs(len(requests) - expected) < 5 * np.sqrt(expected)
    assert (np.diff(requests.at_s) >= 0).all()
    assert requests.at_s[0] >= 7 * 3600
    assert requests.at_s[-1] < 9 * 3600
    patience = requests.give_up_s - requests.at_s
    assert (patience <= 300).mean() == pytest.approx(1 - np.exp(-1 / 9), abs=0.02)


def test_crews_keep_their_seats_filled(city: City) -> None:
    """At any moment of the day as many are on duty as there are seats, though drivers go home."""
    crew = Crew.draw(city, 40, np.random.default_rng(2), weekday=0, hours=(0.0, 24.0))
    for moment in np.linspace(0, 86_399, 50):
        assert ((crew.begin_s <= moment) & (moment < crew.end_s)).sum() == 40


def lone_driver() -> Fleet:
    """One driver on duty from 0 to 1000 s, and one stand to move on to."""
    here, there = (Places(np.array([lat]), np.array([-74.0]), np.array([0])) for lat in (40.7, 40.8))
    fleet = Fleet(Crew(np.array([0.0]), np.array([1000.0]), here, there))
    fleet.ready(0, 0.0)
    return fleet


def test_a_driver_goes_home_when_the_shift_is_over() -> None:
    """A free driver leaves at the end, a busy one after the last ride; the idle share counts what was idle."""
    fleet = lone_driver()
    fleet.knock_off(0, 1000.0)
    assert not fleet.free.any()
    assert fleet.left_s[0] == 1000.0
    busy = lone_driver()
    only, end = np.array([0]), Places(np.array([40.75]), np.array([-74.0]), np.array([1]))
    busy.send(only, 100.0, end, np.array([4100.0]), np.array([300.0]))
    busy.knock_off(0, 1000.0)
    busy.ready(0, 4100.0)
    assert busy.left_s[0] == 4100.0
    assert busy.idle_shares(9000.0) == pytest.approx([100 / 4100])


def test_a_promised_driver_is_offered_no_more() -> None:
    """Near the end of a ride a driver is on offer; once promised, the old ride's end changes nothing."""
    fleet = lone_driver()
    only, end = np.array([0]), Places(np.array([40.75]), np.array([-74.0]), np.array([1]))
    fleet.send(only, 0.0, end, np.array([500.0]), np.array([100.0]))
    assert fleet.offered(450.0, 0.0).tolist() == []
    assert fleet.offered(450.0, 90.0).tolist() == [0]
    assert fleet.drivers(only, 450.0).free_in_s.tolist() == [50.0]
    assert fleet.offered(50.0, 900.0).tolist() == []  # nobody has got in yet: who knows how long it takes
    fleet.send(only, 450.0, end, np.array([900.0]), np.array([600.0]))
    fleet.ready(0, 500.0)
    assert not fleet.free.any()


def test_who_stands_idle_moves_on() -> None:
    """After ten minutes without a ride a driver turns up elsewhere, but not when a ride came between."""
    fleet = lone_driver()
    assert fleet.move_on(0, 0.0)
    assert fleet.lat[0] == 40.8
    assert fleet.idle_since_s[0] == 0.0
    again = lone_driver()
    only, end = np.array([0]), Places(np.array([40.75]), np.array([-74.0]), np.array([1]))
    again.send(only, 10.0, end, np.array([20.0]), np.array([15.0]))
    again.ready(0, 20.0)
    assert not again.move_on(0, 0.0)


def test_two_policies_share_the_drivers(world: World) -> None:
    """Split by a coin, each rider is matched by one of the two, and both come from the same crew."""
    arm = user_split(len(world.requests), np.random.default_rng(5))
    log = run(world, arms("a", "b"), arm)
    drivers = [set(log.driver[(arm == i) & (log.driver >= 0)]) for i in (0, 1)]
    assert drivers[0] & drivers[1]
    assert len(drivers[0] | drivers[1]) <= len(world.crew.home)


def test_the_oracle_knows_the_median_drive(city: City) -> None:
    """Half of the drives that chance makes are shorter than the oracle's word, a street length apart by degrees."""
    travel = Travel.draw(city, np.random.default_rng(0))
    n = 4000
    origins = Places(np.full(n, 40.75), np.full(n, -73.98), np.zeros(n, dtype=np.intp))
    destinations = Places(np.full(n, 40.76), np.full(n, -73.97), np.ones(n, dtype=np.intp))
    assert Travel.km(origins, destinations)[0] == pytest.approx(1.54, abs=0.05)
    oracle = Oracle(travel, midnight=0.0).seconds(origins, destinations, 36_000.0)
    chance = np.random.default_rng(1).standard_normal(n)
    drives = MEETING_S + travel.seconds(origins, destinations, np.full(n, 36_000.0), chance)
    assert (drives <= oracle).mean() == pytest.approx(0.5, abs=0.04)


def test_switchback_units_switch_in_time_and_space() -> None:
    """A unit is one period of one region, half of the units get either arm, and the burn-in does not count."""
    plan = Switchback(period_s=1800.0, burn_in_s=600.0, start_s=25_200.0)
    at_s = np.repeat(25_200.0 + 60.0 * np.arange(240), 2)
    region = np.tile([0, 1], 240)
    units = plan.units(at_s, region)
    assert len(np.unique(units)) == 16
    arm = plan.arms(units, np.random.default_rng(0))
    assert all(len(set(arm[units == unit])) == 1 for unit in np.unique(units))
    assert arm.mean() == 0.5
    assert plan.counted(at_s).mean() == pytest.approx(2 / 3)
    assert np.bincount(bands(np.arange(100.0), 4)).tolist() == [25, 25, 25, 25]


def test_outcomes_add_up(world: World, log: Log) -> None:
    """Completed and cancelled are all there is, among requests of the counted hours only."""
    figures = outcomes(world.requests, log, world.counted)
    assert figures["requests"] == world.counted.sum() < len(world.requests)
    assert figures["completed_rate"] + figures["cancelled_rate"] == pytest.approx(1.0)
    assert figures["wait_mean_s"] >= figures["pickup_mean_s"]
    assert compute(log)["solve_mean_ms"] == pytest.approx(2.0)
    assert np.isfinite(wait_by_zone(world.requests, log, 3)).all()


def test_gini_and_intervals_by_reference() -> None:
    """Equal shares have a Gini of 0, one of four has all 0.75; the interval is Student's."""
    assert gini(np.full(7, 3.0)) == pytest.approx(0.0)
    assert gini(np.array([0.0, 0.0, 0.0, 8.0])) == pytest.approx(0.75)
    assert with_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    base, ours = ([{"m": 10.0}, {"m": 30.0}], [{"m": 9.0}, {"m": 27.0}])
    assert change(ours, base, "m")["percent"] == pytest.approx(-10.0)


def test_a_map_is_written(city: City, tmp_path: Path) -> None:
    """A PNG with a panel a policy, also where a zone had no rider."""
    draw_waits(tmp_path / "waits.png", city.zones, {"a": np.array([60.0, 120.0, np.nan])}, "test")
    assert (tmp_path / "waits.png").read_bytes().startswith(b"\x89PNG")
