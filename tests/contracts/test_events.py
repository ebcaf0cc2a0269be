"""Events: what is read, and what is refused with which reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from contracts.errors import InvalidInput
from contracts.events import (
    MAX_EVENT_BYTES,
    MAX_INVALIDATED,
    DeadLetter,
    DriverMoved,
    FeaturesInvalidated,
    TripEnded,
    dead_letter_topic,
    decode_event,
    encode_event,
)

TRIP: dict[str, Any] = {
    "schema_version": 1,
    "trip_id": "t1",
    "pickup_at": "2026-03-01T12:00:00Z",
    "dropoff_at": "2026-03-01T07:10:00-05:00",
    "pickup_zone": "74",
    "dropoff_zone": "138",
}
DRIVER: dict[str, Any] = {
    "schema_version": 1,
    "driver_id": "d",
    "at": "2026-03-01T12:00:00Z",
    "lat": 40.7,
    "lon": -74.0,
}
KEYS: dict[str, Any] = {"schema_version": 1, "keys": [["zone", "74"], ["city", "nyc"]]}


def refusal(raw: bytes, kind: Any = TripEnded) -> str:
    """Why an event is refused."""
    with pytest.raises(InvalidInput) as caught:
        decode_event(raw, kind)
    return str(caught.value)


def test_events_come_back_as_they_went() -> None:
    """Each kind is read, and what is written is read again."""
    trip = decode_event(json.dumps(TRIP).encode(), TripEnded)
    assert (trip.duration_s, trip.request_id) == (600.0, UNSET)
    named = decode_event(json.dumps(TRIP | {"request_id": "r"}).encode(), TripEnded)
    assert named.request_id == "r"
    assert decode_event(encode_event(named), TripEnded) == named
    driver = decode_event(json.dumps(DRIVER).encode(), DriverMoved)
    changed = decode_event(json.dumps(KEYS).encode(), FeaturesInvalidated)
    assert changed.keys == (("zone", "74"), ("city", "nyc"))
    letter = DeadLetter(schema_version=1, topic="t", position="1", key="k", reason="r", payload=b"\xff")
    assert decode_event(encode_event(trip), TripEnded) == trip
    assert decode_event(encode_event(driver), DriverMoved) == driver
    assert decode_event(encode_event(changed), FeaturesInvalidated) == changed
    assert decode_event(encode_event(letter), DeadLetter) == letter
    assert dead_letter_topic("trips.ended") == "trips.ended.dlq"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 2, "new_field": 1}, "schema_version: is 2, must be 1"),
        ({"schema_version": None}, "schema_version: Expected `int`, got `null`"),
        ({"fare": 3}, "Object contains unknown field `fare`"),
        ({"trip_id": ""}, "trip_id: Expected `str` of length >= 1"),
        ({"trip_id": "x" * 129}, "trip_id: Expected `str` of length <= 128"),
        ({"request_id": ""}, "request_id: Expected `str` of length >= 1"),
        ({"trip_id": 7}, "trip_id: Expected `str`, got `int`"),
        ({"pickup_zone": True}, "pickup_zone: Expected `str`, got `bool`"),
        ({"pickup_at": "2026-03-01T12:00:00"}, "pickup_at: Expected `datetime` with a timezone component"),
        ({"dropoff_at": "2026-03-01T12:00:59Z"}, "`dropoff_at` is 59 s after `pickup_at`, must be 60 to 7200 s"),
        ({"dropoff_at": "2026-03-01T14:00:01Z"}, "`dropoff_at` is 7201 s after `pickup_at`, must be 60 to 7200 s"),
        ({"pickup_at": "1970-01-01T00:00:00Z"}, "`pickup_at` is in the year 1970, must be 2000 to 2099"),
    ],
)
def test_a_trip_that_breaks_the_contract_is_refused(change: dict[str, Any], reason: str) -> None:
    """The reason names the field, what was found and the limit."""
    assert reason in refusal(json.dumps(TRIP | change).encode())


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"trip_id":"\xff"}', b"[" * 100_000, b'{"a":' * 100_000, b"NaN"]
)
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    """Broken JSON, broken UTF-8 and another type are refusals, never another error."""
    assert refusal(raw)


def test_sizes_are_bounded() -> None:
    """An oversize event, too many keys and none."""
    assert str(MAX_EVENT_BYTES) in refusal(b" " * (MAX_EVENT_BYTES + 1))
    many = KEYS | {"keys": [["zone", str(i)] for i in range(MAX_INVALIDATED + 1)]}
    assert "keys" in refusal(json.dumps(many).encode(), FeaturesInvalidated)
    assert "keys" in refusal(json.dumps(KEYS | {"keys": []}).encode(), FeaturesInvalidated)
    longest = FeaturesInvalidated(schema_version=1, keys=(("z" * 64, "x" * 64),) * MAX_INVALIDATED)
    assert len(encode_event(longest)) <= MAX_EVENT_BYTES


@pytest.mark.parametrize("change", [{"lat": 91}, {"lon": -181}, {"lat": True}, {"at": "1999-12-31T23:59:59Z"}])
def test_a_driver_out_of_range_is_refused(change: dict[str, Any]) -> None:
    """A place outside the earth, a boolean and a moment that no clock meant."""
    assert refusal(json.dumps(DRIVER | change).encode(), DriverMoved)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_refusal(raw: bytes) -> None:
    """Nothing but InvalidInput comes out."""
    refusal(raw)


@given(st.text(min_size=1, max_size=128), st.integers(60, 7200))
def test_any_trip_round_trips(trip_id: str, duration_s: int) -> None:
    """Whatever the id."""
    began = datetime(2026, 3, 1, tzinfo=UTC)
    trip = TripEnded(
        schema_version=1,
        trip_id=trip_id,
        pickup_at=began,
        dropoff_at=began + timedelta(seconds=duration_s),
        pickup_zone="1",
        dropoff_zone="2",
    )
    assert decode_event(encode_event(trip), TripEnded) == trip
