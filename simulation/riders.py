"""Riders: who asks when, from where to where, how long the ride takes and when they lose patience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.dispatch import Patience, Places
from contracts.schema import Floats
from contracts.zones import Positions
from simulation.city import SLOT_S, City
from simulation.sample import place_trips
from simulation.travel import Travel
from simulation.zones import to_degrees

# Standard deviation of the log of what drivers say is left of a ride against what turns out to be left.
REST_ERROR_SD: Final = 0.25


@dataclass(frozen=True)
class Requests:
    """Requests [n] in the order of time; seconds are since midnight.

    All that is random about a rider is drawn here, so that every policy meets the same riders.
    """

    at_s: Floats
    pickup: Places
    dropoff: Places
    ride_s: Floats
    give_up_s: Floats  # the moment at which a rider who is not picked up yet cancels
    chance: Floats  # standard normal: the luck of whichever drive leads to this rider
    misjudged: Floats  # what drivers say is left of the ride, over what is

    def __len__(self) -> int:
        return len(self.at_s)

    @classmethod
    def draw(
        cls,
        city: City,
        travel: Travel,
        patience: Patience,
        rng: np.random.Generator,
        *,
        weekday: int,
        hours: tuple[float, float],
        scale: float,
    ) -> Requests:
        """Draw the requests of some hours of a weekday (0 is Monday); `scale` 0.1 is every tenth trip of the city."""
        at_s, origin, destination = _moments(city, rng, weekday, hours, scale)
        n = len(at_s)
        from_km, to_km = place_trips(city.zones, origin, destination, rng)
        pickup = Places(*to_degrees(from_km), origin)
        dropoff = Places(*to_degrees(to_km), destination)
        ride_s = travel.seconds(pickup, dropoff, at_s, rng.standard_normal(n))
        give_up_s = at_s + patience.draw(rng.random(n))
        misjudged = np.exp(REST_ERROR_SD * rng.standard_normal(n))
        return cls(at_s, pickup, dropoff, ride_s, give_up_s, rng.standard_normal(n), misjudged)


def pickup_zones(city: City, weekday: int, n: int, rng: np.random.Generator) -> Positions:
    """Zones [n] drawn like the day's pickups."""
    weight = city.demand[weekday].sum(axis=(0, 2))
    zones: Positions = rng.choice(len(weight), size=n, p=weight / weight.sum())
    return zones


def _moments(
    city: City, rng: np.random.Generator, weekday: int, hours: tuple[float, float], scale: float
) -> tuple[Floats, Positions, Positions]:
    """Times and the two zones of a Poisson number of trips in every quarter-hour and pair."""
    slots = np.arange(int(hours[0] * 3600 // SLOT_S), int(np.ceil(hours[1] * 3600 / SLOT_S)))
    demand = city.demand[weekday, slots]
    count: NDArray[np.int64] = rng.poisson(demand.ravel() * scale)
    filled = np.flatnonzero(count)
    slot, pickup, dropoff = np.unravel_index(np.repeat(filled, count[filled]), demand.shape)
    at_s = (slots[slot] + rng.random(len(slot))) * SLOT_S
    order = np.argsort(at_s, kind="stable")
    return at_s[order], pickup[order], dropoff[order]
