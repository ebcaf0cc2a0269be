"""A request's trips as arrays, and what makes a vector of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from msgspec import UNSET, Struct

from contracts.errors import InvalidInput
from contracts.features import ETA_SCHEMA
from contracts.heuristic import PairMedian
from contracts.local_time import DAY_S, HOUR_S, local_time
from contracts.messages import MAX_AT_OFFSET_S, Place, TripRequest
from contracts.schema import FeatureSchema, Floats, Matrix
from contracts.transforms import trip_keys, trip_vectors
from contracts.trips import CITY_TZ
from contracts.zones import Positions, Zones, pair_keys
from serving.places import Locator


class Trips(Struct, frozen=True):
    """Trips of one request: their ids, their zones by id and by position, and start times (epoch seconds), each [n]."""

    ids: list[str]
    origins: list[str]
    destinations: list[str]
    pickup: Positions
    dropoff: Positions
    at: Floats


class TripFeatures(Protocol):
    """What one model family knows of trips; all of it is arithmetic."""

    schema: FeatureSchema

    def keys(self, zones: Zones, trips: Trips) -> Mapping[str, Sequence[str]]:
        """The store's keys [n] for every role that is looked up."""
        ...

    def vectors(self, zones: Zones, trips: Trips, looked_up: Floats) -> Matrix:
        """The model's vectors [n, features] from all looked-up columns [columns, n]."""
        ...

    def heuristic(self, heuristic: PairMedian, zones: Zones, trips: Trips) -> Floats:
        """The deterministic estimate [n] in seconds, from nothing but the trips."""
        ...


class CityTrips:
    """The ETA model's family: the same transforms that training uses."""

    schema = ETA_SCHEMA

    def keys(self, zones: Zones, trips: Trips) -> Mapping[str, Sequence[str]]:  # noqa: ARG002 - others need them
        """See TripFeatures."""
        return trip_keys(trips.origins, trips.destinations, trips.at)

    def vectors(self, zones: Zones, trips: Trips, looked_up: Floats) -> Matrix:
        """See TripFeatures."""
        return trip_vectors(zones, trips.pickup, trips.dropoff, trips.at, looked_up)

    def heuristic(self, heuristic: PairMedian, zones: Zones, trips: Trips) -> Floats:
        """See TripFeatures."""
        distance_m = zones.pairs.of(trips.pickup, trips.dropoff)[0] * 1000.0
        hour = (local_time(CITY_TZ).seconds(trips.at) % DAY_S // HOUR_S).astype(np.intp)
        return heuristic.predict(pair_keys(trips.origins, trips.destinations), distance_m, hour)


def resolve(requests: Sequence[TripRequest], zones: Zones, locator: Locator, now: float) -> Trips:
    """Find every trip's zones and time; raises InvalidInput with the field that is not of this city or this year."""
    pickup, dropoff, at, ids = [], [], [], []
    for i, trip in enumerate(requests):
        ids.append(trip.id if trip.id is not UNSET else str(i))
        pickup.append(_position(trip.pickup, zones, locator, i, "pickup"))
        dropoff.append(_position(trip.dropoff, zones, locator, i, "dropoff"))
        if trip.at is UNSET:
            at.append(now)
            continue
        at.append(trip.at.timestamp())
        if abs(at[i] - now) > MAX_AT_OFFSET_S:
            raise InvalidInput(f"trips[{i}].at", f"{trip.at.isoformat()} is more than a year from now")
    if len(set(ids)) < len(ids):
        repeated = next(i for i, name in enumerate(ids) if name in ids[:i])
        words = f"{ids[repeated]!r} repeats; a trip without an id is named by its position"
        raise InvalidInput(f"trips[{repeated}].id", words)
    names = zones.ids
    origins, destinations = [names[i] for i in pickup], [names[i] for i in dropoff]
    positions = np.array([pickup, dropoff], dtype=np.intp)
    return Trips(ids, origins, destinations, positions[0], positions[1], np.array(at))


def _position(place: Place, zones: Zones, locator: Locator, trip: int, role: str) -> int:
    if place.zone is not UNSET:
        position = zones.index.get(place.zone)
        if position is None:
            raise InvalidInput(f"trips[{trip}].{role}.zone", f"the city has no zone {place.zone!r}")
        return position
    if place.lat is UNSET or place.lon is UNSET:  # decoding has refused it; the type checker does not know
        raise InvalidInput(f"trips[{trip}].{role}", "needs either `zone`, or both `lat` and `lon`")
    position = locator.locate(place.lat, place.lon)
    if position is None:
        raise InvalidInput(f"trips[{trip}].{role}", f"lat {place.lat}, lon {place.lon} is outside the served city")
    return position
