"""`POST /v1/dispatch`, seen from outside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.dispatch_messages import MAX_DRIVERS, MAX_RIDERS
from contracts.errors import Unavailable
from contracts.routes import RouteTable
from tests.fakes_dispatch import point
from tests.serving.conftest import Replica


def ask(replica: Replica, body: Any, query: str = "") -> Any:
    """One request."""
    return asyncio.run(replica.request("POST", f"/v1/dispatch{query}", json=body))


def riders(*lons: float) -> list[dict[str, Any]]:
    """Riders r0, r1, … at these longitudes."""
    return [{"id": f"r{i}", "pickup": point(lon)} for i, lon in enumerate(lons)]


def drivers(*lons: float) -> list[dict[str, Any]]:
    """Drivers d0, d1, … at these longitudes."""
    return [{"id": f"d{i}", "location": point(lon)} for i, lon in enumerate(lons)]


def pairs(answer: Any) -> dict[str, str]:
    """Driver by rider."""
    return {pair["rider"]: pair["driver"] for pair in answer.json()["assignments"]}


def test_a_batch_swaps_where_greedy_does_not(replica: Replica) -> None:
    """The oldest rider's nearest driver is the other one's only near one."""
    body = {"riders": riders(-73.980, -73.975), "drivers": drivers(-73.9765, -73.9845)}
    body["riders"][0]["waiting_s"] = 10
    batch, greedy = ask(replica, body), ask(replica, body | {"policy": "greedy"})
    assert (batch.status_code, greedy.status_code) == (200, 200)
    assert pairs(batch) == {"r0": "d1", "r1": "d0"}
    assert pairs(greedy) == {"r0": "d0", "r1": "d1"}
    assert (batch.json()["policy"], greedy.json()["policy"]) == ("batch", "greedy")


def test_the_times_are_the_models(replica: Replica) -> None:
    """Twice as far within the same zones takes twice as long, and the answer names the version."""
    body = {"riders": riders(-73.989), "drivers": drivers(-73.987)}
    near = ask(replica, body).json()
    far = ask(replica, body | {"drivers": drivers(-73.985)}).json()
    assert near["model"] == "eta@1"
    assert near["source"] == "model"
    assert "reason" not in near
    assert far["assignments"][0]["pickup_eta_s"] == pytest.approx(2 * near["assignments"][0]["pickup_eta_s"], rel=1e-3)
    assert near["matrix_ms"] > 0
    assert near["solve_ms"] > 0


def test_who_is_left_over_is_named(replica: Replica) -> None:
    """Two riders, one driver; what is left of his ride counts."""
    body = {"riders": riders(-73.989, -73.979), "drivers": drivers(-73.979)}
    body["drivers"][0]["free_in_s"] = 50
    answer = ask(replica, body).json()
    assert answer["unmatched"] == ["r0"]
    assert answer["assignments"] == [{"rider": "r1", "driver": "d0", "pickup_eta_s": 50.0}]


@pytest.mark.parametrize(
    ("cause", "reason"), [("store", "features_unavailable"), ("switch", "kill_switch"), ("model", "model_error")]
)
def test_the_heuristic_stands_in_and_the_answer_says_so(replica: Replica, cause: str, reason: str) -> None:
    """Whatever keeps the model from answering, riders get drivers."""
    if cause == "store":
        replica.store.error = Unavailable("online store", "features_unavailable", "gone")
    elif cause == "switch":
        replica.routing.offer(RouteTable(model="eta", generation=2, champion=1, fallback_only=True))
    else:
        replica.routing.champion().matrix._run = None  # type: ignore[assignment]
    answer = ask(replica, {"riders": riders(-73.989), "drivers": drivers(-73.979)}).json()
    assert len(answer["assignments"]) == 1
    assert (answer["source"], answer["reason"]) == ("fallback", reason)


def test_zones_points_and_both(replica: Replica) -> None:
    """A zone stands for its point."""
    body = {
        "riders": [{"id": "a", "pickup": {"zone": "1"}}, {"id": "b", "pickup": {"zone": "3"}}],
        "drivers": [{"id": "x", "location": {"zone": "3"}}, {"id": "y", "location": point(-73.985)}],
    }
    assert pairs(ask(replica, body)) == {"a": "y", "b": "x"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"riders": []}, "riders"),
        ({"drivers": []}, "drivers"),
        ({"riders": riders(*[-73.98] * (MAX_RIDERS + 1))}, "riders"),
        ({"drivers": drivers(*[-73.98] * (MAX_DRIVERS + 1))}, "drivers"),
        ({"riders": [*riders(-73.98), *riders(-73.98)]}, "riders[1].id"),
        ({"drivers": [*drivers(-73.98), *drivers(-73.98)]}, "drivers[1].id"),
        ({"riders": [{"id": "a" * 129, "pickup": point(-73.98)}]}, "riders[0].id"),
        ({"riders": [{"pickup": point(-73.98)}]}, "riders[0].id"),
        ({"riders": riders(-73.98, 0.0)}, "riders[1].pickup"),
        ({"drivers": drivers(-73.98, 0.0)}, "drivers[1].location"),
        ({"riders": [{"id": "a", "pickup": {"zone": "9"}}]}, "riders[0].pickup.zone"),
        ({"riders": [{"id": "a", "pickup": {"zone": "1"}, "dropoff": {"zone": "9"}}]}, "riders[0].dropoff.zone"),
        ({"riders": [{"id": "a", "pickup": {"zone": "1", "lat": 1, "lon": 1}}]}, "riders[0].pickup"),
        ({"riders": [{"id": "a", "pickup": {"zone": "1"}, "waiting_s": -1}]}, "riders[0].waiting_s"),
        ({"riders": [{"id": "a", "pickup": {"zone": "1"}, "waiting_s": True}]}, "riders[0].waiting_s"),
        ({"drivers": [{"id": "a", "location": {"zone": "1"}, "free_in_s": 1e9}]}, "drivers[0].free_in_s"),
        ({"policy": "auction"}, "policy"),
        ({"surge": 1}, "surge"),
    ],
)
def test_a_wrong_request_names_its_field(replica: Replica, change: dict[str, Any], field: str) -> None:
    """422 and the path, as for /v1/eta."""
    answer = ask(replica, {"riders": riders(-73.98), "drivers": drivers(-73.98)} | change)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_work_that_would_be_too_late_is_refused(replica: Replica) -> None:
    """429 with a time to come again, where those before take longer than the caller waits."""
    admission = replica.dispatch.dispatcher.admission
    admission.service_s, admission.in_flight = 1.0, 2
    answer = ask(replica, {"riders": riders(-73.98), "drivers": drivers(-73.98)}, "?deadline_ms=1000")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert (admission.in_flight, replica.admission.in_flight) == (2, 0)


def test_a_solve_that_takes_too_long_gives_way_to_the_nearest(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says that it is greedy, and why."""

    def late(*_: object) -> None:
        raise Unavailable("solver", "deadline", "it took too long")

    monkeypatch.setattr(replica.dispatch.matchings[0].solver, "until", lambda _deadline: late)
    monkeypatch.setattr("serving.assignment.DENSE_CELLS", 0)
    answer = ask(replica, {"riders": riders(-73.98), "drivers": drivers(-73.98)}).json()
    assert (answer["policy"], answer["reason"], answer["source"]) == ("greedy", "deadline", "model")
    assert len(answer["assignments"]) == 1


def test_dispatch_is_counted_and_leaves_eta_alone(replica: Replica) -> None:
    """Riders by outcome and parts by seconds; what a matching takes is no latency of the ETA limit's."""
    ask(replica, {"riders": riders(-73.989, -73.979), "drivers": drivers(-73.979)})
    text = asyncio.run(replica.request("GET", "/metrics")).text
    assert 'tandem_dispatch_riders_total{outcome="matched",policy="batch",source="model"} 1.0' in text
    assert 'tandem_dispatch_riders_total{outcome="unmatched",policy="batch",source="model"} 1.0' in text
    assert 'tandem_dispatch_seconds_count{part="solve"} 1' in text
    assert 'tandem_requests_total{route="/v1/dispatch",status="200"} 1.0' in text
    assert replica.admission.in_flight == 0


def test_features_looked_up_in_parts_are_the_same(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine pairs of zones at once, or two at a time."""
    everywhere = [{"id": f"z{zone}", "location": {"zone": zone}} for zone in "123"]
    body = {"riders": [{"id": zone, "pickup": {"zone": zone}} for zone in "123"], "drivers": everywhere}
    body["drivers"] = [*everywhere, *drivers(-73.9899, -73.9701)]
    whole = ask(replica, body).json()
    monkeypatch.setattr("serving.matchmaker._PAIRS_AT_ONCE", 2)
    parts = ask(replica, body).json()
    assert parts["assignments"] == whole["assignments"]
    assert parts["source"] == "model"


def test_many_are_matched_by_the_process_beside_the_replica(replica: Replica) -> None:
    """300 riders and 400 drivers: everybody has a driver of their own, and the process has been started."""
    body = {
        "riders": riders(*(-73.989 + 0.018 * i / 300 for i in range(300))),
        "drivers": drivers(*(-73.989 + 0.018 * i / 400 for i in range(400))),
    }
    answer = ask(replica, body).json()
    assert len({pair["driver"] for pair in answer["assignments"]}) == 300
    assert (answer["policy"], answer["unmatched"]) == ("batch", [])
    assert replica.dispatch.matchings[0].solver._process is not None
