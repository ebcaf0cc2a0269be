"""Trips as the live windows counted them: what a trip added is fixed when it comes, whatever is known later."""

from __future__ import annotations

from typing import NamedTuple


class CountedTrip(NamedTuple):
    """Times in µs since the epoch; the log-ratio and the speed (km/h) in millionths. Its id and end say which it is."""

    trip_id: str
    pickup_us: int
    ended_us: int
    pickup_zone: str
    dropoff_zone: str
    log_ratio: int
    speed: int
