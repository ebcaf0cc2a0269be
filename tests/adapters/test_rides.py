"""Rides in SQL: decided once, a driver for one, and what is retried changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from adapters.rides import KEPT_S, Rides
from contracts.errors import Unavailable
from contracts.rides import DriverAssigned, NoDriver, Ride

NOW, HOLD_S = 1000.0, 600.0


def ride(name: str, *, asked_at: float = NOW, region: int = 0, content: str = "c") -> Ride:
    """A ride that waits for ten seconds."""
    return Ride(name, f"request-{name}", region, content, 40.75, -73.98, "1", asked_at, asked_at + 10)


@pytest.fixture
def rides(url: str) -> Iterator[Rides]:
    """The store."""
    store = Rides(url)
    yield store
    store.close()


def test_rides_wait_in_the_order_of_their_requests(rides: Rides) -> None:
    """By region, the oldest first, up to a limit."""
    rides.ask([ride("b", asked_at=2.0), ride("a", asked_at=1.0), ride("c", asked_at=3.0), ride("x", region=1)])
    assert [one.id for one in rides.waiting(0, 2)] == ["a", "b"]
    assert [one.id for one in rides.waiting(1, 10)] == ["x"]


def test_a_ride_is_decided_once(rides: Rides) -> None:
    """The second driver, a reason, and a new request of the same id come too late."""
    rides.ask([ride("a")])
    assert rides.decide([DriverAssigned("a", "d1", 60.0)], [], NOW, HOLD_S) == 1
    assert rides.decide([DriverAssigned("a", "d2", 50.0)], [NoDriver("a", "no_driver")], NOW + 1, HOLD_S) == 0
    rides.ask([replace(ride("a"), request_id="other", until=NOW + 99)])
    (found,) = rides.find(["a", "nobody"])
    assert (found.driver, found.reason, found.request_id, found.until) == ("d1", None, "request-a", NOW + 10)
    assert rides.waiting(0, 10) == []


def test_a_driver_belongs_to_one_ride(rides: Rides) -> None:
    """In one window and over several, until the ride ends; a ride that came too late waits on."""
    rides.ask([ride("a"), ride("b")])
    assert rides.decide([DriverAssigned("a", "d", 60.0), DriverAssigned("b", "d", 50.0)], [], NOW, HOLD_S) == 1
    assert rides.busy(NOW) == {"d"}
    assert rides.decide([DriverAssigned("b", "d", 50.0)], [], NOW + 1, HOLD_S) == 0
    assert [one.id for one in rides.waiting(0, 10)] == ["b"]
    assert rides.end([("request-a", "a"), ("request-b", "b"), ("guessed", "a")], NOW + 2) == 1
    assert rides.busy(NOW + 2) == set()
    assert rides.decide([DriverAssigned("b", "d", 50.0)], [], NOW + 3, HOLD_S) == 1


def test_a_request_that_was_never_answered_so_frees_nobody(rides: Rides) -> None:
    """The request id has to be the one of that ride."""
    rides.ask([ride("a")])
    rides.decide([DriverAssigned("a", "d", 60.0)], [], NOW, HOLD_S)
    assert rides.end([("request-b", "a")], NOW) == 0
    assert rides.busy(NOW) == {"d"}


def test_the_index_holds_whoever_writes(rides: Rides, url: str) -> None:
    """Even who goes past the store can't give a driver a second ride."""
    rides.ask([ride("a"), ride("b")])
    rides.decide([DriverAssigned("a", "d", 60.0)], [], NOW, HOLD_S)
    with sa.create_engine(url).begin() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql("UPDATE rides SET driver = 'd', decided_at = 1 WHERE id = 'b'")


def test_a_driver_whose_ride_nobody_ends_is_free_after_a_time(rides: Rides) -> None:
    """The hold runs out."""
    rides.ask([ride("a"), ride("b")])
    rides.decide([DriverAssigned("a", "d", 60.0)], [], NOW, HOLD_S)
    assert rides.busy(NOW + HOLD_S) == set()
    assert rides.decide([DriverAssigned("b", "d", 60.0)], [], NOW + HOLD_S, HOLD_S) == 1


def test_the_same_request_again_waits_as_long_as_it_now_says(rides: Rides) -> None:
    """After a replica's death the retry brings a new end; another request under the id changes nothing."""
    rides.ask([ride("a")])
    rides.ask([replace(ride("a"), until=NOW + 30)])
    rides.ask([replace(ride("a", content="other"), until=NOW + 90)])
    (found,) = rides.find(["a"])
    assert (found.until, found.content) == (NOW + 30, "c")


def test_what_ended_long_ago_is_forgotten(rides: Rides) -> None:
    """An id is known for a day after its ride."""
    rides.ask([ride("a"), ride("b")])
    rides.decide([], [NoDriver("a", "no_driver")], NOW, HOLD_S)
    rides.decide([], [], NOW + KEPT_S, HOLD_S)
    assert {one.id for one in rides.find(["a", "b"])} == {"a", "b"}
    rides.decide([], [], NOW + KEPT_S + 1, HOLD_S)
    assert [one.id for one in rides.find(["a", "b"])] == ["b"]


def test_windows_at_the_same_time_never_share_a_driver(url: str, rides: Rides) -> None:
    """Eight writers with stores of their own offer the same ten drivers to eighty riders."""
    rides.ask([ride(f"r{i}") for i in range(80)])
    stores = [Rides(url) for _ in range(8)]

    def window(number: int) -> int:
        pairs = [DriverAssigned(f"r{number * 10 + i}", f"d{i}", 60.0) for i in range(10)]
        return stores[number].decide(pairs, [], NOW, HOLD_S)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(window, range(8))) == 10
    for store in stores:
        store.close()
    assert len(rides.busy(NOW)) == 10


def test_a_database_that_is_away_is_an_outage(tmp_path: Path) -> None:
    """Callers know how to wait for it."""
    rides = Rides(f"sqlite:///{tmp_path / 'state.db'}")
    rides.close()
    for file in tmp_path.glob("state.db*"):
        file.unlink()
    tmp_path.joinpath("state.db").mkdir()
    with pytest.raises(Unavailable, match="state database"):
        rides.waiting(0, 1)
