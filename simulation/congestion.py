"""Congestion: how much faster or slower than usual the city is, now and here.

The log of the speed gets three additions, each of mean one on the speed itself:

- the city: an Ornstein-Uhlenbeck process, standard deviation 0.15, relaxation time 90 minutes;
- each zone: one of its own, 0.15 and 60 minutes; a trip feels its two zones, (pickup + dropoff) / sqrt(2);
- incidents: in each zone once in two days on average, for 20 to 90 minutes, speed times 0.35 to 0.8; a trip feels
  the geometric mean of its two zones.

They run on a grid of five minutes through the whole span, nights and weekends included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

STEP_S: Final = 300
_STEPS_PER_DAY: Final = 86_400 // STEP_S


@dataclass(frozen=True)
class CongestionLaw:
    """The constants of the process; standard deviations are of the log speed."""

    city_sd: float = 0.15
    city_relaxation_s: float = 5400.0
    zone_sd: float = 0.15
    zone_relaxation_s: float = 3600.0
    incidents_per_zone_day: float = 0.5
    incident_s: tuple[float, float] = (1200.0, 5400.0)
    incident_factor: tuple[float, float] = (0.35, 0.8)

    @property
    def log_variance(self) -> float:
        """Variance a trip's log speed gets from the city and its zones, incidents aside."""
        return self.city_sd**2 + self.zone_sd**2


@dataclass(frozen=True)
class Congestion:
    """One drawn history.

    Attributes:
        law: what it was drawn from.
        city: (steps,) addition to the log speed.
        zones: (steps, zones) the same for each zone.
        incidents: (steps, zones) log of the incidents' factor, 0 where there is none.

    """

    law: CongestionLaw
    city: NDArray[np.float64]
    zones: NDArray[np.float64]
    incidents: NDArray[np.float64]

    @classmethod
    def draw(cls, law: CongestionLaw, *, days: int, zones: int, rng: np.random.Generator) -> Congestion:
        """Draw the history of so many days and zones, from midnight of the first day."""
        steps = days * _STEPS_PER_DAY
        return cls(
            law=law,
            city=_ornstein_uhlenbeck(steps, 1, law.city_sd, law.city_relaxation_s, rng)[:, 0],
            zones=_ornstein_uhlenbeck(steps, zones, law.zone_sd, law.zone_relaxation_s, rng),
            incidents=_incidents(law, days, zones, rng),
        )

    def factor(
        self,
        at_s: NDArray[np.integer[Any]],
        pickup: NDArray[np.integer[Any]],
        dropoff: NDArray[np.integer[Any]],
    ) -> NDArray[np.float64]:
        """Speed factors of mean one for (n,) trips: seconds since the first midnight and the two zones' indices."""
        law = self.law
        step = at_s // STEP_S
        same = pickup == dropoff
        zone = np.where(
            same, self.zones[step, pickup], (self.zones[step, pickup] + self.zones[step, dropoff]) / np.sqrt(2.0)
        )
        incident = (self.incidents[step, pickup] + self.incidents[step, dropoff]) / 2
        # Incidents of a zone are a Poisson stream, so the mean of their product is exp(-load * (1 - E factor)).
        load = law.incidents_per_zone_day * sum(law.incident_s) / 2 / 86_400
        lost_same = load * (1 - _mean_power(law.incident_factor, 1.0))
        lost_apart = 2 * load * (1 - _mean_power(law.incident_factor, 0.5))
        log_factor = self.city[step] + zone + incident - law.log_variance / 2 + np.where(same, lost_same, lost_apart)
        factor: NDArray[np.float64] = np.exp(log_factor)
        return factor


def _ornstein_uhlenbeck(
    steps: int, columns: int, sd: float, relaxation_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    keep = np.exp(-STEP_S / relaxation_s)
    noise = rng.standard_normal((steps, columns)) * sd
    noise[1:] *= np.sqrt(1 - keep**2)  # the first row is a draw from the stationary law
    for step in range(1, steps):
        noise[step] += keep * noise[step - 1]
    return noise


def _incidents(law: CongestionLaw, days: int, zones: int, rng: np.random.Generator) -> NDArray[np.float64]:
    # Incidents that began before the first midnight may still last: start early by the longest.
    lead = int(np.ceil(law.incident_s[1] / STEP_S))
    steps = days * _STEPS_PER_DAY + lead
    counts = rng.poisson(law.incidents_per_zone_day * steps / _STEPS_PER_DAY, zones)
    zone = np.repeat(np.arange(zones), counts)
    begin = rng.random(len(zone)) * steps
    end = begin + rng.uniform(*law.incident_s, len(zone)) / STEP_S
    log_factor = np.log(rng.uniform(*law.incident_factor, len(zone)))
    change = np.zeros((steps + 1, zones))
    np.add.at(change, (np.minimum(np.ceil(begin).astype(int), steps), zone), log_factor)
    np.add.at(change, (np.minimum(np.ceil(end).astype(int), steps), zone), -log_factor)
    return np.cumsum(change, axis=0)[lead:-1]


def _mean_power(bounds: tuple[float, float], power: float) -> float:
    low, high = bounds
    mean: float = (high ** (power + 1) - low ** (power + 1)) / ((power + 1) * (high - low))
    return mean
