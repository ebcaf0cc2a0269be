"""Drivers: shifts that begin and end, where each one is, who is free and who has stood idle for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.dispatch import Drivers, Places
from contracts.schema import Floats
from contracts.zones import Positions
from simulation.city import City
from simulation.riders import pickup_zones
from simulation.zones import to_degrees

SHIFT_S: Final = 8 * 3600.0
# Who has waited in vain for this long has moved on to where riders are; the drive is part of the time.
RESTLESS_S: Final = 600.0
_STANDS: Final = 10_000
_SAME_MOMENT_S: Final = 1e-3
# Idle shares of a shift that has hardly begun say nothing.
MIN_DUTY_S: Final = 3600.0


@dataclass(frozen=True)
class Crew:
    """Shifts [n]: when (s) each begins and ends, and where its driver starts. Who is busy at the end finishes first."""

    begin_s: Floats
    end_s: Floats
    home: Places
    stands: Places  # where drivers who have idled for `RESTLESS_S` turn up next, one after the other

    @classmethod
    def draw(
        cls, city: City, seats: int, rng: np.random.Generator, *, weekday: int, hours: tuple[float, float]
    ) -> Crew:
        """Draw shifts that keep `seats` drivers on duty: as one goes home, another one starts, somewhere else."""
        first, last = hours[0] * 3600, hours[1] * 3600
        turns = int(np.ceil((last - first) / SHIFT_S)) + 1
        begin = first + (np.arange(turns)[:, None] - rng.random(seats)) * SHIFT_S
        begin_s, end_s = np.maximum(begin, first).ravel(), (begin + SHIFT_S).ravel()
        return cls(begin_s, end_s, _stands(city, weekday, turns * seats, rng), _stands(city, weekday, _STANDS, rng))


def _stands(city: City, weekday: int, n: int, rng: np.random.Generator) -> Places:
    """Where the day's pickups are."""
    zone = pickup_zones(city, weekday, n, rng)
    return Places(*to_degrees(city.zones.sample(zone, rng)), zone)


@dataclass
class Fleet:
    """The state of every driver [n] at the moment the simulation has come to; times are seconds since midnight.

    Where a driver is, is where the present ride ends, once it has begun.
    """

    crew: Crew
    lat: Floats = field(init=False)
    lon: Floats = field(init=False)
    zone: Positions = field(init=False)
    ready_s: Floats = field(init=False)  # when the driver starts, or is done with all riders so far
    on_board_s: Floats = field(init=False)  # when the last of these riders gets in; infinite where nobody does
    misjudged: Floats = field(init=False)  # of the rest of the present ride, told over true
    free: NDArray[np.bool_] = field(init=False)
    idle_since_s: Floats = field(init=False)
    idle_s: Floats = field(init=False)
    moves: int = 0
    left_s: Floats = field(init=False)  # when the driver went home; NaN while on duty or to come

    def __post_init__(self) -> None:
        """Everyone is at home."""
        home, n = self.crew.home, len(self.crew.home)
        self.lat, self.lon, self.zone = home.lat.copy(), home.lon.copy(), home.zone.copy()
        self.ready_s = self.crew.begin_s.copy()
        self.on_board_s, self.misjudged = np.full(n, np.inf), np.ones(n)
        self.free = np.zeros(n, dtype=np.bool_)
        self.idle_since_s, self.idle_s, self.left_s = np.full(n, np.nan), np.zeros(n), np.full(n, np.nan)

    def ready(self, driver: int, now_s: float) -> None:
        """A driver starts the shift or is done with a rider, and goes home where the shift is over.

        Nothing happens where another rider has been promised the driver meanwhile.
        """
        if self.ready_s[driver] > now_s:
            return
        if now_s >= self.crew.end_s[driver]:
            self.left_s[driver] = now_s
            return
        self.free[driver] = True
        self.idle_since_s[driver] = now_s

    def knock_off(self, driver: int, now_s: float) -> None:
        """A shift is over: a free driver goes home, a busy one when `ready`."""
        if self.free[driver]:
            self._stir(np.array([driver]), now_s)
            self.left_s[driver] = now_s

    def move_on(self, driver: int, since_s: float) -> bool:
        """Let a driver turn up where riders are, unless a ride has come between; `since_s` is the last such moment."""
        if not self.free[driver] or self.idle_since_s[driver] > since_s + _SAME_MOMENT_S:
            return False
        stand = self.moves % len(self.crew.stands)
        self.lat[driver], self.lon[driver] = self.crew.stands.lat[stand], self.crew.stands.lon[stand]
        self.zone[driver] = self.crew.stands.zone[stand]
        self.moves += 1
        return True

    def send(self, drivers: Positions, now_s: float, end: Places, ready_s: Floats, on_board_s: Floats) -> None:
        """Drivers [k] set out, now or after the present ride, and will be ready again at `end` [k]."""
        self._stir(drivers[self.free[drivers]], now_s)
        self.lat[drivers], self.lon[drivers], self.zone[drivers] = end.lat, end.lon, end.zone
        self.ready_s[drivers], self.on_board_s[drivers] = ready_s, on_board_s

    def offered(self, now_s: float, horizon_s: float) -> Positions:
        """Row numbers [k] of drivers who are free, or whose ride ends within `horizon_s` by what they say."""
        if not horizon_s:
            return np.flatnonzero(self.free)
        rest_s = (self.ready_s - now_s) * self.misjudged
        soon = (self.on_board_s <= now_s) & (rest_s > 0) & (rest_s <= horizon_s) & (self.ready_s < self.crew.end_s)
        return np.flatnonzero(self.free | soon)

    def drivers(self, rows: Positions, now_s: float) -> Drivers:
        """Drivers [k] as matching sees them."""
        at = Places(self.lat[rows], self.lon[rows], self.zone[rows])
        free = self.free[rows]
        rest_s = np.where(free, 0.0, (self.ready_s[rows] - now_s) * self.misjudged[rows])
        return Drivers(at, rest_s, np.where(free, now_s - self.idle_since_s[rows], 0.0))

    def idle_shares(self, now_s: float) -> Floats:
        """Idle part of the time on duty [k], of the shifts that have lasted an hour at least."""
        begun = self.crew.begin_s < now_s
        duty = np.where(np.isnan(self.left_s), now_s, self.left_s) - self.crew.begin_s
        idle = self.idle_s + np.where(self.free, now_s - self.idle_since_s, 0.0)
        counted = begun & (duty >= MIN_DUTY_S)
        shares: Floats = idle[counted] / duty[counted]
        return shares

    def _stir(self, drivers: Positions, now_s: float) -> None:
        self.free[drivers] = False
        self.idle_s[drivers] += now_s - self.idle_since_s[drivers]
