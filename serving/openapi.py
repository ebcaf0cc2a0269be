"""The OpenAPI 3.1 document, from the messages' own schemas, so that it can't drift from what is accepted."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.dispatch_messages import (
    MAX_DRIVERS,
    MAX_RIDERS,
    DispatchRequest,
    DispatchResponse,
    RideRequest,
    RideResponse,
)
from contracts.messages import (
    MAX_BODY_BYTES,
    EtaRequest,
    EtaResponse,
    OutcomesRequest,
    OutcomesResponse,
    Problem,
)
from serving.admin_openapi import ARM, SECURITY, admin_paths
from serving.problems import encode_problem

_ETA_REQUEST: Final = {
    "trips": [
        {"id": "a", "pickup": {"zone": "74"}, "dropoff": {"zone": "138"}},
        {"pickup": {"lat": 40.7484, "lon": -73.9857}, "dropoff": {"zone": "236"}, "at": "2026-01-05T08:30:00-05:00"},
    ],
    "unit": "rider-1",
}
_ETA_RESPONSE: Final = {
    "request_id": "06a2l7o0r4q1s8m2k3c9d5e1f7g3h0jb",
    "etas": [
        {
            "id": "a",
            "eta_s": 912.4,
            "low_s": 640.2,
            "high_s": 1301.7,
            "model": "eta@7",
            "arm": "champion",
            "source": "model",
        },
        {
            "id": "1",
            "eta_s": 741.0,
            "low_s": 480.5,
            "high_s": 1110.3,
            "model": "eta@7",
            "arm": "champion",
            "source": "fallback",
            "reason": "features_timeout",
        },
    ],
}
_OUTCOMES_REQUEST: Final = {
    "outcomes": [
        {
            "request_id": "06a2l7o0r4q1s8m2k3c9d5e1f7g3h0jb",
            "id": "a",
            "event": "completed",
            "actual_s": 955,
            "at": "2026-01-05T08:47:00-05:00",
        }
    ]
}
_DISPATCH_REQUEST: Final = {
    "riders": [
        {"id": "ada", "pickup": {"lat": 40.7484, "lon": -73.9857}, "waiting_s": 12},
        {"id": "bob", "pickup": {"zone": "74"}, "dropoff": {"zone": "138"}},
    ],
    "drivers": [{"id": "d1", "location": {"lat": 40.7527, "lon": -73.9772}, "free_in_s": 40}],
    "policy": "batch",
}
_DISPATCH_RESPONSE: Final = {
    "request_id": "06a2l7o0r4q1s8m2k3c9d5e1f7g3h0jb",
    "assignments": [{"rider": "ada", "driver": "d1", "pickup_eta_s": 251.3}],
    "unmatched": ["bob"],
    "policy": "batch",
    "matrix_ms": 2.1,
    "solve_ms": 0.3,
    "model": "eta@7",
    "source": "model",
}
_RIDE_REQUEST: Final = {"id": "ride-1", "pickup": {"lat": 40.7484, "lon": -73.9857}, "dropoff": {"zone": "138"}}
_RIDE_RESPONSE: Final = {
    "request_id": "06a2l7o0r4q1s8m2k3c9d5e1f7g3h0jb",
    "id": "ride-1",
    "driver": "d1",
    "pickup_eta_s": 203.7,
    "waited_s": 1.42,
}
_NO_DRIVER: Final = ("no_driver: no driver for 'ride-1' within 10.0 s", "", "no_driver")
_PROBLEMS: Final = {
    400: ("JSON is malformed: invalid character (byte 27)", ""),
    405: ("method PUT is not allowed here, only POST, OPTIONS", ""),
    413: (f"the body is 5000000 bytes, at most {MAX_BODY_BYTES} bytes are read", ""),
    415: ("content-type is 'text/plain', must be 'application/json'", ""),
    422: ("the city has no zone '999'", "trips[0].pickup.zone"),
    500: ("the server failed; its log has the cause", ""),
    503: ("replica unavailable (draining)", ""),
}


def openapi_document() -> dict[str, Any]:
    """The whole document, as JSON values."""
    types = (
        *(EtaRequest, EtaResponse, OutcomesRequest, OutcomesResponse, Problem),
        *(DispatchRequest, DispatchResponse, RideRequest, RideResponse),
    )
    references, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schemas = dict(zip(types, references, strict=True))
    admin, admin_schemas = admin_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tandem",
            "version": "1",
            "description": "Trip durations and dispatch for ride hailing. Times are RFC 3339 with an offset, durations "
            "seconds, places TLC zones or WGS 84 points.",
        },
        "paths": {
            "/v1/eta": {
                "post": _operation(
                    "Estimate 1 to 512 trips",
                    "A trip without an id is named by its position. `source` says whether the model answered or the "
                    "deterministic fallback, and then `reason` says why.",
                    (schemas[EtaRequest], _ETA_REQUEST),
                    (schemas[EtaResponse], _ETA_RESPONSE),
                )
                | ARM
            },
            "/v1/outcomes": {
                "post": _operation(
                    "Report what became of estimates",
                    "Kept durably before the answer. A repeated outcome counts as duplicate and changes nothing; one "
                    "whose request_id was never issued counts as unknown.",
                    (schemas[OutcomesRequest], _OUTCOMES_REQUEST),
                    (schemas[OutcomesResponse], {"accepted": 1, "duplicate": 0, "unknown": 0}),
                )
            },
            "/v1/dispatch": {
                "post": _operation(
                    f"Match 1 to {MAX_RIDERS} riders with 1 to {MAX_DRIVERS} drivers",
                    "One assignment for all at the lowest total cost, or greedily, the oldest rider first. `policy` is "
                    "what was done: greedy where a batch would have missed the deadline. `source` says whose times "
                    "they are, and `reason` why the answer is less than it could be.",
                    (schemas[DispatchRequest], _DISPATCH_REQUEST),
                    (schemas[DispatchResponse], _DISPATCH_RESPONSE),
                )
            },
            "/v1/rides": {
                "post": _operation(
                    "Wait for a driver",
                    "Answered when the ride's window has closed. The same id again is the same request, whatever "
                    "became of the replica that took it, and has one answer. A 409 says why there is no driver, in a "
                    "word in `reason`: no_driver, not_matched, or id_reused for another request's id.",
                    (schemas[RideRequest], _RIDE_REQUEST),
                    (schemas[RideResponse], _RIDE_RESPONSE),
                    {"409": _no_driver()},
                )
            },
            "/healthz": {"get": _page("The process is alive", "application/json")},
            "/readyz": {
                "get": {**_page("A real prediction was made", "application/json"), "responses": _ready_responses()}
            },
            "/metrics": {"get": _page("Metrics in Prometheus' text format", "text/plain")},
            "/openapi.json": {"get": _page("This document", "application/json")},
            "/docs": {"get": _page("This document for people", "text/html")},
            **admin,
        },
        "components": {"schemas": components | admin_schemas, "securitySchemes": SECURITY},
    }


def _operation(
    summary: str,
    words: str,
    request: tuple[dict[str, Any], Any],
    response: tuple[dict[str, Any], Any],
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "summary": summary,
        "description": words,
        "requestBody": {"required": True, "content": _content("application/json", *request)},
        "responses": {
            "200": {"description": "OK", "content": _content("application/json", *response)},
            **{str(status): _problem(status) for status in _PROBLEMS},
            **(more or {}),
        },
    }


def _problem(status: int) -> dict[str, Any]:
    example = msgspec.json.decode(encode_problem(status, *_PROBLEMS[status]))
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": example["title"], "content": _content("application/problem+json", schema, example)}


def _no_driver() -> dict[str, Any]:
    detail, field, reason = _NO_DRIVER
    example = msgspec.json.decode(encode_problem(409, detail, field, reason=reason))
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": example["title"], "content": _content("application/problem+json", schema, example)}


def _ready_responses() -> dict[str, Any]:
    return {"200": {"description": "Ready"}, "503": _problem(503)}


def _page(summary: str, content_type: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "OK", "content": {content_type: {}}}}}


def _content(content_type: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {content_type: {"schema": schema, "example": example}}
