"""The files of the log of counted trips, a line of JSON a trip: reading them, and letting go of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from contracts.counted_trips import CountedTrip

HOUR_US: Final = 3_600_000_000
_ENDING: Final = ".jsonl"
_NAME: Final = f"%Y-%m-%dT%H{_ENDING}"
_DECODE: Final = msgspec.json.Decoder(CountedTrip).decode


def read_trips(folder: Path, first_us: int, last_us: int) -> Iterator[CountedTrip]:
    """Trips that ended from one moment on and up to another, each once; lines that can't be read are passed over."""
    seen: set[tuple[str, int]] = set()
    for trip in trips_between(folder, first_us, last_us):
        if (trip.trip_id, trip.ended_us) not in seen:
            seen.add((trip.trip_id, trip.ended_us))
            yield trip


def trips_between(folder: Path, first_us: int, last_us: int) -> Iterator[CountedTrip]:
    """The same, as they are there: one may come twice."""
    for hour in range(first_us // HOUR_US, last_us // HOUR_US + 1):
        try:
            file = (folder / file_name(hour)).open("rb")
        except FileNotFoundError:
            continue
        with file:
            for line in file:
                try:
                    trip = _DECODE(line)
                except msgspec.MsgspecError:
                    continue
                if first_us <= trip.ended_us <= last_us:
                    yield trip


def logged_hours(folder: Path) -> list[int]:
    """The hours (since the epoch) that have a file, in order."""
    found = []
    for path in folder.glob(f"*{_ENDING}"):
        try:
            moment = datetime.strptime(path.name, _NAME).replace(tzinfo=UTC)
        except ValueError:  # somebody else's
            continue
        found.append(round(moment.timestamp()) * 1_000_000 // HOUR_US)
    return sorted(found)


def forget_hour(folder: Path, hour: int) -> None:
    """Delete an hour's file."""
    (folder / file_name(hour)).unlink(missing_ok=True)


def file_name(hour: int) -> str:
    """What the file of an hour (since the epoch) is called."""
    return datetime.fromtimestamp(hour * HOUR_US // 1_000_000, UTC).strftime(_NAME)
