"""The Manhattan of 2018's business days: its zones, how many trips start when and where to, and how fast they go.

Read from the files of the `pyhailing` 0.0.9 wheel, which sum up 110.9 million real trips. Their coding, read from
that package's own source: `dow` 0 to 4 is Monday to Friday, `t_15min` counts quarter-hours and `min` minutes from
local midnight, speeds are km/s over the length along the street grid (see `zones.grid_km`), not the straight line.

The labels of speeds.csv are not those of its values; see `_unscramble`.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from pyarrow import csv

from simulation.zones import ZoneMap

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BUSINESS_DAYS: Final = 5
SLOTS_PER_DAY: Final = 96
SLOT_S: Final = 900
_FIRST_SLOTS: Final = 4
# Weekdays of 2018 from Monday to Friday: the year that the counts of trips sum up.
_DAYS_PER_WEEKDAY: Final = (53, 52, 52, 52, 52)
# The source's own bounds: 1 and 60 miles per hour.
MIN_SPEED_KM_S: Final = 0.00044704
MAX_SPEED_KM_S: Final = 0.0268224


@dataclass(frozen=True)
class City:
    """Demand and speeds between zones, which are spoken of by their index in `zones.ids`.

    Attributes:
        zones: the zones.
        demand: (5, 96, zones, zones) trips that start in a quarter-hour of such a weekday, pickup before dropoff.
        speed_mean: (96, zones, zones) mean speed in km/s along the grid, by the quarter-hour of the pickup.
        speed_sd: the same for its standard deviation.

    """

    zones: ZoneMap
    demand: NDArray[np.float64]
    speed_mean: NDArray[np.float64]
    speed_sd: NDArray[np.float64]

    @classmethod
    def from_wheel(cls, wheel: Path) -> City:
        """Read the city out of the wheel, which is neither installed nor imported."""
        with zipfile.ZipFile(wheel) as members:
            zones = ZoneMap.from_geojson(members.read("pyhailing/data/taxizones.geojson").decode())
            trips = _read(members, "pyhailing/data/trips.csv")
            speeds = _read(members, "pyhailing/data/speeds.csv")
        z = len(zones.ids)
        index = pd.Series(np.arange(z), index=[int(zone) for zone in zones.ids])

        demand = np.zeros((BUSINESS_DAYS, SLOTS_PER_DAY, z, z))
        pairs = (trips["t_15min"], index[trips["puzone"]], index[trips["dozone"]])
        demand[(trips["dow"], *pairs)] = trips["n_trips"]
        demand /= np.array(_DAYS_PER_WEEKDAY)[:, None, None, None]

        speed_mean = _unscramble(speeds["speed_mean"].to_numpy(), z)
        speed_sd = _unscramble(speeds["speed_stddev"].to_numpy(), z)
        return cls(zones=zones, demand=demand, speed_mean=speed_mean, speed_sd=speed_sd)

    @property
    def trips_per_week(self) -> float:
        """Trips of the real city from Monday to Friday."""
        return float(self.demand.sum())


def _read(members: zipfile.ZipFile, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = csv.read_csv(io.BytesIO(members.read(name))).to_pandas()
    return frame


def _unscramble(values: NDArray[np.float64], zones: int) -> NDArray[np.float64]:
    """Put a column of speeds.csv in its place: (96 * zones ** 2,) in the file's order to (96, zones, zones).

    The file labels every 24 rows with another pair of zones and the next quarter of the day. Its values say otherwise:
    96 rows in a row run smoothly through one day of one pair, pairs in ascending order, the k-th from 6 * (k % 4)
    o'clock on. Read so, long trips are faster (correlation of log speed and log length 0.75; by the labels -0.03),
    a pair is as fast as its way back (0.87), and the small hours are faster than the afternoon (29 and 16 km/h;
    by the labels the city has one speed round the clock: 22). docs/data.md tells how this was found.
    """
    days = values.reshape(zones * zones, SLOTS_PER_DAY)
    first_slot = np.arange(zones * zones) % _FIRST_SLOTS * (SLOTS_PER_DAY // _FIRST_SLOTS)
    row_slot = (np.arange(SLOTS_PER_DAY) - first_slot[:, None]) % SLOTS_PER_DAY
    return np.take_along_axis(days, row_slot, axis=1).T.reshape(SLOTS_PER_DAY, zones, zones)
