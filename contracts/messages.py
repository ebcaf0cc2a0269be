"""Requests, answers and events as they cross the wire. Decoding checks types, ranges and unknown fields in one pass."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_TRIPS = 512
MAX_BODY_BYTES = 1 << 20
MAX_ID_CHARS = 128
MAX_AT_OFFSET_S = 366 * 86400.0  # a year either way, leap or not

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
Zone = Annotated[str, Meta(min_length=1, max_length=16)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Moment = Annotated[datetime, Meta(tz=True)]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """A TLC zone, or a point in WGS 84 degrees; exactly one of the two."""

    zone: Zone | UnsetType = UNSET
    lat: Latitude | UnsetType = UNSET
    lon: Longitude | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Refuse both, neither and half a point."""
        point = (self.lat is not UNSET) + (self.lon is not UNSET)
        if (self.zone is not UNSET) == (point > 0) or point == 1:
            raise ValueError("needs either `zone`, or both `lat` and `lon`")


class TripRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One trip to estimate; `at` is when it starts, now where absent."""

    pickup: Place
    dropoff: Place
    id: Id | UnsetType = UNSET
    at: Moment | UnsetType = UNSET


class EtaRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/eta`. `unit` is the experiment unit that sticks to an arm."""

    trips: Annotated[tuple[TripRequest, ...], Meta(min_length=1, max_length=MAX_TRIPS)]
    unit: Id | UnsetType = UNSET


class Eta(Struct, frozen=True):
    """One answer, in seconds; low_s..high_s covers 80 %."""

    id: str
    eta_s: float
    low_s: float
    high_s: float
    model: str
    arm: str
    source: Literal["model", "fallback"]
    reason: str | UnsetType = UNSET


class EtaResponse(Struct, frozen=True):
    """The answers in the order of the trips."""

    request_id: str
    etas: list[Eta]


class Outcome(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of an estimate; `actual_s` belongs to `completed` and to nothing else."""

    request_id: Id
    id: Id
    event: Literal["booked", "cancelled", "completed"]
    at: Moment
    actual_s: Annotated[float, Meta(gt=0, le=86400)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Tie `actual_s` to `completed`."""
        if (self.event == "completed") != (self.actual_s is not UNSET):
            raise ValueError("`actual_s` goes with `completed`, and only with it")


class OutcomesRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /v1/outcomes`."""

    outcomes: Annotated[tuple[Outcome, ...], Meta(min_length=1, max_length=MAX_TRIPS)]


class OutcomesResponse(Struct, frozen=True):
    """Counts; a duplicate changes nothing, an unknown names no estimate that was logged."""

    accepted: int
    duplicate: int
    unknown: int


class FieldError(Struct, frozen=True):
    """One field and what is wrong with it."""

    field: str
    message: str


class Problem(Struct, frozen=True):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    error: str | UnsetType = UNSET  # where clients of the Open Inference Protocol look for the detail
    reason: str | UnsetType = UNSET  # a word that a program can tell a 409 by
