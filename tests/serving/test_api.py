"""The application's routes, seen from outside."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from contracts.dispatch_messages import DispatchRequest, RideRequest
from contracts.messages import EtaRequest, OutcomesRequest
from serving.openapi import openapi_document
from tests.serving.conftest import Replica

TRIP = {"pickup": {"zone": "1"}, "dropoff": {"lat": 40.755, "lon": -73.975}}


def ask(replica: Replica, method: str, path: str, **kwargs: Any) -> Any:
    """One request."""
    return asyncio.run(replica.request(method, path, **kwargs))


def test_an_eta_and_its_outcome(replica: Replica) -> None:
    """An answered trip's outcome is accepted once; again it is a duplicate; another's is unknown."""
    answer = ask(replica, "POST", "/v1/eta", json={"trips": [TRIP | {"id": "a"}], "unit": "rider"})
    assert answer.status_code == 200
    assert answer.json()["etas"][0]["source"] == "model"
    outcome = {"request_id": answer.json()["request_id"], "id": "a", "event": "completed", "actual_s": 300}
    rows = [outcome | {"at": "2027-01-15T08:00:00Z"}, outcome | {"at": "2027-01-15T08:00:00Z", "request_id": "x"}]
    for expected in ({"accepted": 1, "duplicate": 0, "unknown": 1}, {"accepted": 0, "duplicate": 1, "unknown": 1}):
        assert ask(replica, "POST", "/v1/outcomes", json={"outcomes": rows}).json() == expected


def test_readiness(replica: Replica) -> None:
    """Ready with a model; not while draining, with a Retry-After; alive in any case."""
    assert ask(replica, "GET", "/readyz").status_code == 200
    replica.api.draining = True
    refused = ask(replica, "GET", "/readyz")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert ask(replica, "GET", "/healthz").status_code == 200


def test_pages_and_documents(replica: Replica) -> None:
    """Documentation stands on itself, metrics count what was asked."""
    ask(replica, "POST", "/v1/eta", json={"trips": [TRIP]})
    page = ask(replica, "GET", "/docs")
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert ask(replica, "GET", "/").status_code == 200
    metrics = ask(replica, "GET", "/metrics").text
    counted = [line for line in metrics.splitlines() if line.startswith("tandem_estimates_total")]
    assert counted == ['tandem_estimates_total{arm="champion",model="eta@1",reason="",source="model"} 1.0']
    assert ask(replica, "GET", "/openapi.json").json()["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("HEAD", "/healthz", 200, None),
        ("HEAD", "/v1/eta", 405, "POST, OPTIONS"),
        ("OPTIONS", "/v1/eta", 204, "POST, OPTIONS"),
        ("OPTIONS", "/docs", 204, "GET, HEAD, OPTIONS"),
        ("PUT", "/healthz", 405, "GET, HEAD, OPTIONS"),
        ("HEAD", "/nowhere", 404, None),
    ],
)
def test_methods(replica: Replica, method: str, path: str, status: int, allow: str | None) -> None:
    """HEAD and OPTIONS are what HTTP says, other methods name the allowed ones."""
    answer = ask(replica, method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    if method == "HEAD":
        assert answer.content == b""


def test_a_failure_is_a_document_too(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours is a 500 that tells nothing of its inside."""
    monkeypatch.setattr(replica.routing, "route", lambda _unit: 1 / 0)
    answer = ask(replica, "POST", "/v1/eta", json={"trips": [TRIP]})
    assert answer.status_code == 500
    assert "division" not in answer.text


def test_waiting_does_not_hold_the_processor(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the database takes for an outcome, others are let in meanwhile."""
    seconds = began = time.perf_counter()
    monkeypatch.setattr("serving.api.time.perf_counter", lambda: seconds)

    def slow(_outcomes: object, _now: float) -> int:
        nonlocal seconds
        seconds += 1e6
        return 1

    answer = ask(replica, "POST", "/v1/eta", json={"trips": [TRIP]}).json()
    row = {"request_id": answer["request_id"], "id": "0", "event": "cancelled", "at": "2027-01-15T08:00:00Z"}
    monkeypatch.setattr(replica.outcomes, "_add", slow)
    assert ask(replica, "POST", "/v1/outcomes", json={"outcomes": [row]}).json()["accepted"] == 1
    assert seconds == began + 1e6
    assert abs(replica.admission.service_s) < 1e3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("deadline_ms=" + "9" * 5000, 422),
        ("deadline_ms=60001", 422),
        ("deadline_ms=", 422),
        ("deadline_ms=5&deadline_ms=6", 422),
        ("%64eadline_ms=x", 422),
        ("xdeadline_ms=abc", 200),
        ("x=deadline_ms", 200),
        ("deadline_ms=60000", 200),
    ],
)
def test_the_deadline_of_the_query(replica: Replica, query: str, status: int) -> None:
    """One whole number in its range, under this name only; anything else names the field, and is not told at length."""
    answer = ask(replica, "POST", f"/v1/eta?{query}", json={"trips": [TRIP]})
    assert answer.status_code == status
    assert len(answer.content) < 1000
    if status == 422:
        assert answer.json()["errors"][0]["field"] == "deadline_ms"


def test_the_documents_examples_are_accepted() -> None:
    """OpenAPI's examples decode as what they are examples of, and all references resolve."""
    document = openapi_document()
    kinds = {"eta": EtaRequest, "outcomes": OutcomesRequest, "dispatch": DispatchRequest, "rides": RideRequest}
    for name, kind in kinds.items():
        path = f"/v1/{name}"
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        msgspec.json.decode(msgspec.json.encode(example), type=kind)
    text = msgspec.json.encode(document).decode()
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
