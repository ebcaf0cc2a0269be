"""Everything about a simulated day that no policy changes: streets, riders, shifts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from contracts.dispatch import Patience
from contracts.trips import CITY_TZ
from simulation.city import BUSINESS_DAYS, City
from simulation.fleet import Crew
from simulation.riders import Requests
from simulation.travel import Travel

# A Monday of the year that the city's figures sum up.
_MONDAY = date(2018, 4, 2)


@dataclass(frozen=True)
class Scenario:
    """What to draw: hours of a weekday (0 is Monday) at a scale of the real demand, from `lead_h` hours earlier on.

    `supply` is the drivers on duty over the rides under way on average, were every request served at once; `seats`,
    where it is not 0, is the number of drivers itself. `patience` is how long riders wait.
    """

    scale: float = 0.1
    weekday: int = 2
    hours: tuple[float, float] = (7.0, 11.0)
    lead_h: float = 0.5
    supply: float = 1.0
    seats: int = 0
    patience: Patience = field(default_factory=Patience)

    @property
    def span(self) -> tuple[float, float]:
        """Hours of all requests, those before the counted ones included."""
        return max(self.hours[0] - self.lead_h, 0.0), self.hours[1]

    @property
    def midnight(self) -> float:
        """Unix seconds of the day's local midnight."""
        day = _MONDAY + timedelta(days=self.weekday % BUSINESS_DAYS)
        return datetime.combine(day, time(), ZoneInfo(CITY_TZ)).timestamp()


@dataclass(frozen=True)
class World:
    """One drawn day."""

    scenario: Scenario
    travel: Travel
    requests: Requests
    crew: Crew
    seats: int

    @classmethod
    def draw(cls, city: City, scenario: Scenario, seed: int) -> World:
        """Draw a day; the same seed has the same streets and riders at any supply."""
        streets, riders, shifts = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
        travel = Travel.draw(city, streets)
        requests = Requests.draw(
            city,
            travel,
            scenario.patience,
            riders,
            weekday=scenario.weekday,
            hours=scenario.span,
            scale=scenario.scale,
        )
        span_s = 3600 * (scenario.span[1] - scenario.span[0])
        seats = scenario.seats or max(1, round(scenario.supply * float(requests.ride_s.sum()) / span_s))
        crew = Crew.draw(city, seats, shifts, weekday=scenario.weekday, hours=scenario.span)
        return cls(scenario, travel, requests, crew, seats)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which requests [n] come within the scenario's hours."""
        counted: NDArray[np.bool_] = self.requests.at_s >= self.scenario.hours[0] * 3600
        return counted
