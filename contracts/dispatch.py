"""What matching, the city simulator and whoever puts them together speak of; arrays, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from contracts.schema import Floats
from contracts.zones import Positions

Index = Positions | npt.NDArray[np.bool_]
EARTH_RADIUS_KM = 6371.0088


@dataclass(frozen=True)
class Places:
    """Points [n] in degrees (WGS 84), and the positions of their zones in the city."""

    lat: Floats
    lon: Floats
    zone: Positions

    def __len__(self) -> int:
        return len(self.lat)

    def take(self, rows: Index) -> Places:
        """The places at some rows, in their order."""
        return Places(self.lat[rows], self.lon[rows], self.zone[rows])


@dataclass(frozen=True)
class Riders:
    """Riders [n] who wait for a driver, and for how long (s) they have."""

    at: Places
    waiting_s: Floats

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Index) -> Riders:
        """The riders at some rows, in their order."""
        return Riders(self.at.take(rows), self.waiting_s[rows])


@dataclass(frozen=True)
class Drivers:
    """Drivers [n]: where they are or will be when free, in how many seconds that is, and how long (s) they idled."""

    at: Places
    free_in_s: Floats
    idle_s: Floats

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Index) -> Drivers:
        """The drivers at some rows, in their order."""
        return Drivers(self.at.take(rows), self.free_in_s[rows], self.idle_s[rows])


@dataclass(frozen=True)
class Assignment:
    """Pairs of row numbers, ordered by rider; nobody stands in two. `pickup_s` is the estimate they were made with.

    `matrix_s` and `solve_s` are the seconds that the estimates and the rest of the matching took.
    """

    rider: Positions
    driver: Positions
    pickup_s: Floats
    matrix_s: float = 0.0
    solve_s: float = 0.0


class EtaSource(Protocol):
    """Travel times, from wherever."""

    def seconds(self, origins: Places, destinations: Places, at: float) -> Floats:
        """Seconds [n] from each origin [n] to the destination beside it, for who leaves at `at` (Unix seconds)."""
        ...


class Matcher(Protocol):
    """A rule who drives to whom."""

    def __call__(self, riders: Riders, drivers: Drivers, at: float) -> Assignment:
        """Match at the moment `at` (Unix seconds); who is in no pair waits on."""
        ...


class Window(Protocol):
    """A rule how long requests gather before they are matched; it sees them come. `now` is in seconds."""

    def arrived(self, now: float) -> None:
        """Take note of a request."""
        ...

    def length_s(self, now: float, *, waiting: int, free: int, carried: bool) -> float:
        """Seconds until a window closes that opens now; `carried` says that all of them were just left unmatched."""
        ...


def line_km(origins: Places, destinations: Places) -> Floats:
    """Great-circle kilometres [n] between places [n] and the places beside them."""
    step = np.radians(destinations.lat - origins.lat) / 2
    turn = np.radians(destinations.lon - origins.lon) / 2
    shrink = np.cos(np.radians(origins.lat)) * np.cos(np.radians(destinations.lat))
    half_chord = np.sqrt(np.sin(step) ** 2 + shrink * np.sin(turn) ** 2)
    km: Floats = 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(half_chord, 1.0))
    return km


@dataclass(frozen=True)
class Patience:
    """How long riders wait from the request to the pickup: Weibull, so the urge to cancel grows with the wait."""

    scale_s: float = 900.0
    shape: float = 2.0

    def lost(self, waited_s: Floats, more_s: Floats) -> Floats:
        """Chance [n] that a rider who waited so long cancels within so many seconds more."""
        before = (waited_s / self.scale_s) ** self.shape
        risk: Floats = -np.expm1(before - ((waited_s + more_s) / self.scale_s) ** self.shape)
        return risk

    def draw(self, uniform: Floats) -> Floats:
        """Seconds [n] after which riders give up, from numbers [n] in [0, 1)."""
        seconds: Floats = self.scale_s * (-np.log1p(-uniform)) ** (1 / self.shape)
        return seconds
