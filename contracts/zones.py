"""The served city's zones, as arrays: positions in them stand for zones on the way to a vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.distance import bearing, haversine_m, typical_log_s
from contracts.errors import NotFound
from contracts.schema import Floats

Positions = npt.NDArray[np.intp]

PAIR_GEOMETRY: Final = (
    "distance_km",  # straight line between the zones' points
    "pickup_lat",
    "pickup_lon",
    "dropoff_lat",
    "dropoff_lon",
    "bearing_sin",
    "bearing_cos",
    "typical_log_s",
)
_TABLE_ZONES: Final = 512  # 16 MB


@dataclass(frozen=True)
class Zones:
    """All zones in a fixed order; `lat` and `lon` are degrees (WGS 84) of a point that represents each."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    boroughs: tuple[str, ...]
    lat: Floats
    lon: Floats
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the ids."""
        object.__setattr__(self, "index", {zone: i for i, zone in enumerate(self.ids)})

    @cached_property
    def pairs(self) -> PairGeometry:
        """What never changes between two zones."""
        return PairGeometry(self)

    def positions(self, zones: Iterable[str]) -> Positions:
        """Positions of zone ids; raises NotFound with the first unknown id."""
        try:
            return np.fromiter((self.index[zone] for zone in zones), dtype=np.intp)
        except KeyError as error:
            raise NotFound("zone", str(error.args[0]), f"the city has {len(self.ids)} zones") from None


class PairGeometry:
    """Rows `PAIR_GEOMETRY` for pairs of zones; all pairs are computed once where the city is of a city's size."""

    def __init__(self, zones: Zones) -> None:
        self._lat, self._lon = zones.lat, zones.lon
        self._zones = len(zones.ids)
        self._table: Floats | None = None
        if self._zones <= _TABLE_ZONES:
            every = np.arange(self._zones)
            self._table = self._computed(np.repeat(every, self._zones), np.tile(every, self._zones))

    def of(self, pickup: Positions, dropoff: Positions) -> Floats:
        """Rows [`PAIR_GEOMETRY`, n] for positions [n] of pickup and dropoff zones."""
        if self._table is None:
            return self._computed(pickup, dropoff)
        rows: Floats = self._table[:, pickup * self._zones + dropoff]
        return rows

    def _computed(self, pickup: Positions, dropoff: Positions) -> Floats:
        points = self._lat[pickup], self._lon[pickup], self._lat[dropoff], self._lon[dropoff]
        distance_m = haversine_m(*points)
        return np.array([distance_m / 1000.0, *points, *bearing(*points), typical_log_s(distance_m)])


def pair_key(pickup: str, dropoff: str) -> str:
    """The store's key of a zone pair, such as ``74>138``."""
    return f"{pickup}>{dropoff}"


def pair_keys(pickup: Sequence[str], dropoff: Sequence[str]) -> list[str]:
    """The keys of many pairs."""
    return [f"{a}>{b}" for a, b in zip(pickup, dropoff, strict=True)]
