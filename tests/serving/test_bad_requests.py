"""A wrong input is a 4xx problem document that names the field; never a 5xx."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from serving.listener import Listener
from tests.bad_requests import BadRequest, bad_requests
from tests.fakes import NOW
from tests.serving.conftest import Replica


def test_a_thousand_bad_requests(replica: Replica, tmp_path: Path) -> None:
    """Every one of 1,000 mixed bad requests gets its status and, where there is one, its field's name."""
    listener = Listener(replica.api, tmp_path / "s", ())
    listener.start()
    try:
        transport = httpx.HTTPTransport(uds=str(tmp_path / "s"))
        with httpx.Client(transport=transport, base_url="http://tandem") as client:
            for request in bad_requests(1000, NOW):
                headers = dict(request.headers)
                check(request, client.request(request.method, request.path, content=request.body, headers=headers))
    finally:
        listener.stop(1.0)


def test_a_head_of_so_many_bytes_that_python_cannot_count(replica: Replica) -> None:
    """A header with thousands of digits is a wrong header."""
    headers = {"inference-header-content-length": "9" * 5000, "content-type": "application/octet-stream"}
    answer = asyncio.run(replica.request("POST", "/v2/models/eta/infer", headers=headers, content=b"{}"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "inference-header-content-length"


def test_a_member_that_is_named_like_a_path_does_not_mislead(replica: Replica) -> None:
    """The field is where the unknown member is, not where its name says."""
    trip = {"pickup": {"zone": "1"}, "dropoff": {"zone": "2"}, "x` - at `$.trips[99]": 1}
    answer = asyncio.run(replica.request("POST", "/v1/eta", json={"trips": [trip]}))
    assert answer.json()["errors"][0]["field"].startswith("trips[0].x")


def check(request: BadRequest, response: httpx.Response) -> None:
    """Compare an answer with what the request calls for."""
    words = f"{request.kind}: {response.status_code} {response.text[:300]}"
    assert response.status_code == request.status, words
    assert response.headers["content-type"] == "application/problem+json", words
    problem = response.json()
    assert problem["status"] == request.status, words
    assert set(problem) == {"type", "title", "status", "detail", "errors"}, words
    assert [error["field"] for error in problem["errors"]] == ([request.field] if request.field else []), words
    if request.status == 400 and "JSON" in problem["detail"]:
        assert "byte" in problem["detail"], words
    if request.status == 405:
        assert "POST" in response.headers["allow"]
