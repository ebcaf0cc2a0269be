"""`POST /v1/rides`, on a store of its own and drivers in a list."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from contracts.errors import Unavailable
from serving.proto import tandem_pb2 as tandem
from tests.fakes_dispatch import RunningClock, point
from tests.serving.conftest import Replica
from tests.serving.test_grpc_api import served

Answers = list[Any]


@pytest.fixture
def clock() -> RunningClock:
    """Windows take time."""
    return RunningClock()


async def ask_all(replica: Replica, *bodies: dict[str, Any], query: str = "") -> Answers:
    """Requests at the same time."""
    return list(await asyncio.gather(*(replica.request("POST", f"/v1/rides{query}", json=body) for body in bodies)))


async def ask(replica: Replica, body: dict[str, Any], query: str = "") -> Any:
    """One request."""
    return (await ask_all(replica, body, query=query))[0]


def ride(name: str, lon: float = -73.98) -> dict[str, Any]:
    """A ride from the middle of the tiny city."""
    return {"id": name, "pickup": point(lon)}


def present(replica: Replica, *names: str, lon: float = -73.98, age_s: float = 0.0) -> None:
    """Put drivers on the map."""
    now = replica.clock.now()
    replica.drivers.seen = [(name, 40.755, lon + i * 1e-4, now - age_s) for i, name in enumerate(names)]


@pytest.mark.anyio
async def test_a_ride_gets_its_driver_at_once_at_low_load(replica: Replica) -> None:
    """One rider and many drivers: nobody waits for a window."""
    present(replica, "far", "near", "farther")
    replica.drivers.seen[0] = ("far", 40.755, -73.9899, replica.drivers.seen[0][3])
    answer = await ask(replica, ride("a", -73.9799))
    assert answer.status_code == 200
    assert answer.json()["driver"] == "near"
    assert answer.json()["id"] == "a"
    assert answer.json()["waited_s"] < 1.0


@pytest.mark.anyio
async def test_the_same_id_again_has_the_same_answer(replica: Replica) -> None:
    """At the same time, later, and from another driver's point of view."""
    present(replica, "d1", "d2", "d3")
    first, second = await ask_all(replica, ride("a"), ride("a"))
    third = await ask(replica, ride("a"))
    assert first.json() == second.json() == third.json()
    other = await ask(replica, ride("b"))
    assert other.json()["driver"] != first.json()["driver"]


@pytest.mark.anyio
async def test_an_id_that_stands_for_another_request_is_a_conflict(replica: Replica) -> None:
    """409, with a word for programs."""
    present(replica, "d1", "d2")
    await ask(replica, ride("a"))
    answer = await ask(replica, ride("a", -73.975))
    assert (answer.status_code, answer.json()["reason"]) == (409, "id_reused")


@pytest.mark.anyio
async def test_no_driver_two_riders(replica: Replica) -> None:
    """Ten riders and six drivers: six pairs, and four are told that there is nobody for them."""
    present(replica, *"abcdef")
    answers = await ask_all(replica, *(ride(f"r{i}") for i in range(10)), query="?deadline_ms=1500")
    given = [answer.json()["driver"] for answer in answers if answer.status_code == 200]
    assert sorted(given) == sorted("abcdef")
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert len(refused) == 4
    assert {problem["reason"] for problem in refused} == {"no_driver"}


@pytest.mark.anyio
async def test_a_driver_is_free_again_when_the_ride_is_over(replica: Replica) -> None:
    """By an outcome of the ride's; until then the next rider waits in vain."""
    present(replica, "only")
    first = await ask(replica, ride("a"))
    second = await ask(replica, ride("b"), query="?deadline_ms=400")
    assert (second.status_code, second.json()["reason"]) == (409, "no_driver")
    outcome = {"request_id": first.json()["request_id"], "id": "a", "event": "cancelled", "at": "2027-01-15T08:00:00Z"}
    await replica.request("POST", "/v1/outcomes", json={"outcomes": [outcome]})
    third = await ask(replica, ride("c"))
    assert third.json()["driver"] == "only"


@pytest.mark.anyio
async def test_an_old_position_is_no_offer(replica: Replica) -> None:
    """Who was last seen over a minute ago is not on offer; a feed that is away is told by its own word."""
    present(replica, "d", age_s=61.0)
    answer = await ask(replica, ride("a"), query="?deadline_ms=300")
    assert (answer.status_code, answer.json()["reason"]) == (409, "no_driver")
    replica.drivers.error = Unavailable("driver positions", "positions_unavailable", "gone")
    blind = await ask(replica, ride("b"), query="?deadline_ms=300")
    assert (blind.status_code, blind.json()["reason"]) == (409, "drivers_unavailable")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"pickup": point(-73.98)}, "id"),
        ({"id": "a"}, "pickup"),
        ({"id": "a", "pickup": point(0.0)}, "pickup"),
        ({"id": "a", "pickup": point(-73.98), "dropoff": {"zone": "9"}}, "dropoff.zone"),
        ({"id": "", "pickup": point(-73.98)}, "id"),
        ({"id": "a\0", "pickup": point(-73.98)}, "id"),
        ({"id": "a", "pickup": point(-73.98), "seats": 2}, "seats"),
    ],
)
async def test_a_wrong_ride_names_its_field(replica: Replica, body: dict[str, Any], field: str) -> None:
    """422 and the path."""
    answer = await ask(replica, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.anyio
async def test_waiting_riders_hold_no_place_of_eta_requests(replica: Replica) -> None:
    """While a ride waits nothing is in flight for the limit, and its seconds are nobody's latency."""
    asked = asyncio.create_task(ask(replica, ride("a"), "?deadline_ms=400"))
    async with asyncio.timeout(10):
        while not replica.dispatch.rides.waiting:  # noqa: ASYNC110 - a state of the service
            await asyncio.sleep(0.001)
    assert replica.admission.in_flight == 0
    await asked
    assert replica.admission.service_s < 0.1


@pytest.mark.anyio
async def test_a_ride_over_grpc(replica: Replica, tmp_path: Path) -> None:
    """The same answer, by the same id, over both transports; a conflict is FAILED_PRECONDITION with its word."""
    present(replica, "d1", "d2")
    path, spot = "/tandem.v1.DispatchService/Ride", tandem.Place(point=tandem.Point(lat=40.755, lon=-73.98))
    async with served(replica, tmp_path) as call:
        answer = await call(path, tandem.RideRequest(id="a", pickup=spot), tandem.RideResponse)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(path, tandem.RideRequest(id="a", pickup=tandem.Place(zone="1")), tandem.RideResponse)
    http = (await ask(replica, ride("a"))).json()
    assert (answer.driver, answer.request_id, answer.waited_s) == (http["driver"], http["request_id"], http["waited_s"])
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "id_reused" in (caught.value.details() or "")
