"""Dispatch as it crosses the wire: riders and drivers to match at once, and one ride that waits for its driver."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.messages import Id, Place

MAX_RIDERS = 2000
MAX_DRIVERS = 6000
MAX_WAITING_S = 86_400.0

Wait = Annotated[float, Meta(ge=0, le=MAX_WAITING_S)]
PolicyName = Literal["batch", "greedy"]


class DispatchRider(Struct, frozen=True, forbid_unknown_fields=True):
    """Who waits, where, and for how long."""

    id: Id
    pickup: Place
    dropoff: Place | UnsetType = UNSET
    waiting_s: Wait = 0.0


class DispatchDriver(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is on offer, where, and in how many seconds."""

    id: Id
    location: Place
    free_in_s: Wait = 0.0


class DispatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/dispatch`."""

    riders: Annotated[tuple[DispatchRider, ...], Meta(min_length=1, max_length=MAX_RIDERS)]
    drivers: Annotated[tuple[DispatchDriver, ...], Meta(min_length=1, max_length=MAX_DRIVERS)]
    policy: PolicyName = "batch"


class Assigned(Struct, frozen=True):
    """Who drives to whom, and in how many seconds from now the driver is there."""

    rider: str
    driver: str
    pickup_eta_s: float


class DispatchResponse(Struct, frozen=True):
    """Assignments in the order of the riders, and the riders without one.

    `policy` is what was done, greedy where a batch would have been too late; `source` says where the estimates came
    from, and `reason` why the answer is less than it could be.
    """

    request_id: str
    assignments: list[Assigned]
    unmatched: list[str]
    policy: PolicyName
    matrix_ms: float
    solve_ms: float
    model: str
    source: Literal["model", "fallback"]
    reason: str | UnsetType = UNSET


class RideRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/rides`. The same `id` again is the same request, and gets the same answer."""

    id: Id
    pickup: Place
    dropoff: Place | UnsetType = UNSET


class RideResponse(Struct, frozen=True):
    """The driver of a ride; an outcome of (`request_id`, `id`) that is cancelled or completed frees the driver."""

    request_id: str
    id: str
    driver: str
    pickup_eta_s: float
    waited_s: float
