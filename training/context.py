"""What a request alone says of its trip: zones, distance, local time. Enough for baselines and for slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from contracts.distance import haversine_m
from contracts.schema import Floats, Matrix
from contracts.trips import CITY_TZ
from contracts.zones import Positions, Zones, pair_keys


@dataclass(frozen=True)
class TripContext:
    """Trips [n] in the order of their frame; times are local to the city."""

    pickup: Positions
    dropoff: Positions
    pairs: list[str]
    borough: list[str]
    distance_m: Floats  # straight line between the zones' points
    hour: npt.NDArray[np.intp]  # 0..23
    weekday: npt.NDArray[np.intp]  # Monday is 0
    day: npt.NDArray[np.int64]  # days since 1970-01-01

    def rows(self, which: npt.NDArray[np.bool_]) -> TripContext:
        """Some of the trips."""
        picked = np.flatnonzero(which)
        return TripContext(
            pickup=self.pickup[which],
            dropoff=self.dropoff[which],
            pairs=[self.pairs[i] for i in picked],
            borough=[self.borough[i] for i in picked],
            distance_m=self.distance_m[which],
            hour=self.hour[which],
            weekday=self.weekday[which],
            day=self.day[which],
        )


def describe_trips(trips: pd.DataFrame, zones: Zones) -> TripContext:
    """Read the context off a canonical trip frame; raises NotFound for a zone that the city does not have."""
    pickup, dropoff = zones.positions(trips["pickup_zone"]), zones.positions(trips["dropoff_zone"])
    local = trips["pickup_at"].dt.tz_convert(CITY_TZ)
    midnight = local.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    return TripContext(
        pickup=pickup,
        dropoff=dropoff,
        pairs=pair_keys(trips["pickup_zone"].tolist(), trips["dropoff_zone"].tolist()),
        borough=[zones.boroughs[i] for i in pickup],
        distance_m=haversine_m(zones.lat[pickup], zones.lon[pickup], zones.lat[dropoff], zones.lon[dropoff]),
        hour=local.dt.hour.to_numpy().astype(np.intp),
        weekday=local.dt.weekday.to_numpy().astype(np.intp),
        day=midnight.astype(np.int64),
    )


def plain_matrix(context: TripContext, zones: Zones) -> Matrix:
    """Zones, calendar and distance alone, float32 [n, 9]: what a model without a feature store would see."""
    columns = [
        context.pickup,
        context.dropoff,
        zones.lat[context.pickup],
        zones.lon[context.pickup],
        zones.lat[context.dropoff],
        zones.lon[context.dropoff],
        context.distance_m,
        context.hour,
        context.weekday,
    ]
    return np.column_stack(columns).astype(np.float32)
