"""Events as they cross a stream: JSON with `schema_version`; what can't be read is refused with the reason."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.errors import InvalidInput
from contracts.messages import Id, Latitude, Longitude, Moment, Zone
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S

TRIPS_ENDED: Final = "trips.ended"
DRIVERS_MOVED: Final = "drivers.moved"
FEATURES_INVALIDATED: Final = "features.invalidated"
DEAD_LETTER_SUFFIX: Final = ".dlq"

SCHEMA_VERSION: Final = 1
MAX_EVENT_BYTES: Final = 1 << 18
MAX_INVALIDATED: Final = 1000
_MAX_REASON: Final = 300  # an unknown field's name may be as long as the event
_YEARS: Final = (2000, 2100)  # what local time knows

Version = Literal[1]
Key = Annotated[str, Meta(min_length=1, max_length=64)]  # of an entity, such as a zone, or two of them


class TripEnded(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`trips.ended`: one completed trip; the same `trip_id` again is the same trip.

    `request_id` is of the estimate that it was booked on, where the trip's `id` is this `trip_id`: with it the event
    is an outcome as well.
    """

    schema_version: Version
    trip_id: Id
    request_id: Id | UnsetType = UNSET
    pickup_at: Moment
    dropoff_at: Moment
    pickup_zone: Zone
    dropoff_zone: Zone

    def __post_init__(self) -> None:
        """Refuse what is no trip by the data's own rules."""
        _check_year("pickup_at", self.pickup_at)
        _check_year("dropoff_at", self.dropoff_at)
        if not MIN_DURATION_S <= self.duration_s <= MAX_DURATION_S:
            words = f"{MIN_DURATION_S:g} to {MAX_DURATION_S:g} s after `pickup_at`"
            raise ValueError(f"`dropoff_at` is {self.duration_s:g} s after `pickup_at`, must be {words}")

    @property
    def duration_s(self) -> float:
        """How long the trip took."""
        return (self.dropoff_at - self.pickup_at).total_seconds()


class DriverMoved(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`drivers.moved`: where a driver was."""

    schema_version: Version
    driver_id: Id
    at: Moment
    lat: Latitude
    lon: Longitude

    def __post_init__(self) -> None:
        """Refuse a moment that no clock meant."""
        _check_year("at", self.at)


class FeaturesInvalidated(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`features.invalidated`: rows of the online store, by (entity, key), that were written anew."""

    schema_version: Version
    keys: Annotated[tuple[tuple[Key, Key], ...], Meta(min_length=1, max_length=MAX_INVALIDATED)]


class DeadLetter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`<topic>.dlq`: a message that can't be used, as it came (base64), from where, and why."""

    schema_version: Version
    topic: str
    position: str
    key: str
    reason: str
    payload: bytes


E = TypeVar("E", TripEnded, DriverMoved, FeaturesInvalidated, DeadLetter)


def dead_letter_topic(topic: str) -> str:
    """Where a topic's unreadable messages go."""
    return topic + DEAD_LETTER_SUFFIX


def encode_event(event: Struct) -> bytes:
    """The event as JSON."""
    return msgspec.json.encode(event)


def decode_event(raw: bytes, kind: type[E]) -> E:
    """Read one event; raises InvalidInput with the field, where there is one, and the reason."""
    if len(raw) > MAX_EVENT_BYTES:
        raise InvalidInput("", f"{len(raw)} bytes, must be at most {MAX_EVENT_BYTES}")
    try:
        return msgspec.json.decode(raw, type=kind)
    except RecursionError:
        raise InvalidInput("", "nested too deeply") from None
    except ValueError as error:  # msgspec's own, and broken UTF-8
        version = _version(raw)
        if version not in (None, SCHEMA_VERSION):  # why its fields are unknown
            raise InvalidInput("schema_version", f"is {version}, must be {SCHEMA_VERSION}") from None
        words, _, path = str(error).partition(" - at ")
        raise InvalidInput(
            path.strip("`").removeprefix("$").removeprefix(".")[:_MAX_REASON], words[:_MAX_REASON]
        ) from None


class _Versioned(Struct):
    schema_version: int | None = None


def _version(raw: bytes) -> int | None:
    try:
        return msgspec.json.decode(raw, type=_Versioned).schema_version
    except (ValueError, RecursionError):
        return None


def _check_year(name: str, moment: datetime) -> None:
    first, end = _YEARS
    if not first <= moment.year < end:
        raise ValueError(f"`{name}` is in the year {moment.year}, must be {first} to {end - 1}")
