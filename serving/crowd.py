"""Riders and drivers of a request as arrays; what is not of this city or stands there twice is refused by its field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from msgspec import UNSET

from contracts.dispatch import Drivers, Places, Riders
from contracts.dispatch_messages import DispatchRequest
from contracts.errors import InvalidInput
from contracts.messages import Place
from contracts.zones import Zones
from serving.places import Locator

Ends = Sequence[tuple[str, Place]]
"""Places with the paths of their fields."""

_NOWHERE: Final = "is a zone of which no point is known; give `lat` and `lon`"


@dataclass(frozen=True)
class Crowd:
    """Who is to be matched: ids and arrays, in the order of the request."""

    rider_ids: list[str]
    driver_ids: list[str]
    riders: Riders
    drivers: Drivers


def crowd(request: DispatchRequest, zones: Zones, locator: Locator) -> Crowd:
    """Find everybody's place; raises InvalidInput with the first field that is wrong."""
    rider_ids, driver_ids = [rider.id for rider in request.riders], [driver.id for driver in request.drivers]
    _check_unique("riders", rider_ids)
    _check_unique("drivers", driver_ids)
    pickups = places([(f"riders[{i}].pickup", r.pickup) for i, r in enumerate(request.riders)], zones, locator)
    dropoffs = [(f"riders[{i}].dropoff", r.dropoff) for i, r in enumerate(request.riders) if r.dropoff is not UNSET]
    places(dropoffs, zones, locator)
    stands = places([(f"drivers[{i}].location", d.location) for i, d in enumerate(request.drivers)], zones, locator)
    riders = Riders(pickups, np.array([rider.waiting_s for rider in request.riders]))
    free_in_s = np.array([driver.free_in_s for driver in request.drivers])
    return Crowd(rider_ids, driver_ids, riders, Drivers(stands, free_in_s, np.zeros(len(free_in_s))))


def places(ends: Ends, zones: Zones, locator: Locator) -> Places:
    """Points and zones [n]; a zone given by its id stands for its point. Raises InvalidInput."""
    lat, lon, zone = np.empty(len(ends)), np.empty(len(ends)), np.full(len(ends), -1, dtype=np.intp)
    points = []
    for i, (field, place) in enumerate(ends):
        if place.zone is UNSET:
            points.append(i)
            lat[i], lon[i] = cast("float", place.lat), cast("float", place.lon)  # decoding saw to it
            continue
        position = zones.index.get(place.zone)
        if position is None:
            raise InvalidInput(f"{field}.zone", f"the city has no zone {place.zone!r}")
        lat[i], lon[i], zone[i] = zones.lat[position], zones.lon[position], position
        if not np.isfinite(lat[i] + lon[i]):
            raise InvalidInput(f"{field}.zone", f"{place.zone!r} {_NOWHERE}")
    if points:
        zone[points] = locator.locate_many(lat[points], lon[points])
        for i in np.flatnonzero(zone < 0)[:1]:
            raise InvalidInput(ends[i][0], f"lat {lat[i]:g}, lon {lon[i]:g} is outside the served city")
    return Places(lat, lon, zone)


def _check_unique(side: str, ids: Sequence[str]) -> None:
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for i, name in enumerate(ids):
        if name in seen:
            raise InvalidInput(f"{side}[{i}].id", f"{name!r} repeats")
        seen.add(name)
