"""The deterministic fallback as a source of pickup times for matching, as serving uses it where the model is away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from contracts.dispatch import EtaSource, Places, line_km
from contracts.heuristic import PairMedian
from contracts.schema import Floats
from contracts.trips import CITY_TZ
from contracts.zones import Positions, Zones, pair_keys
from serving.point_etas import PointEtas, Spread
from simulation.city import City
from simulation.congestion import CongestionLaw
from simulation.sample import draw_trips
from training.baselines import fit_pair_median

# Days that no simulated day shares its luck with, and enough of them for most pairs.
_HISTORY_TRIPS: Final = 200_000
_HISTORY_WEEKS: Final = 2
_HISTORY_START: Final = date(2018, 3, 5)
_HISTORY_SEED: Final = 990_001


@dataclass(frozen=True)
class Fallback:
    """A `PairEtas`: the pair's median, or distance over the hour's speed."""

    heuristic: PairMedian
    zones: Zones

    def seconds(self, pickup: Positions, dropoff: Positions, at: float) -> Floats:
        """Seconds [n] by the pairs of zones and the local hour."""
        hour = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(CITY_TZ)).hour
        pairs = pair_keys([self.zones.ids[i] for i in pickup], [self.zones.ids[i] for i in dropoff])
        metres = self.zones.pairs.of(pickup, dropoff)[0] * 1000
        return self.heuristic.predict(pairs, metres, np.full(len(pairs), hour, dtype=np.intp))


def fit_fallback(city: City) -> EtaSource:
    """Fit the pair medians on trips drawn for other days."""
    trips = draw_trips(
        city,
        trips=_HISTORY_TRIPS,
        weeks=_HISTORY_WEEKS,
        start=_HISTORY_START,
        seed=_HISTORY_SEED,
        law=CongestionLaw(),
    ).trips
    index = {zone: i for i, zone in enumerate(city.zones.ids)}
    origin, destination = (
        Places(
            trips[f"{end}_lat"].to_numpy(),
            trips[f"{end}_lon"].to_numpy(),
            trips[f"{end}_zone"].map(index).to_numpy().astype(np.intp),
        )
        for end in ("pickup", "dropoff")
    )
    hour = trips["pickup_at"].dt.tz_convert(CITY_TZ).dt.hour.to_numpy(dtype=np.intp)
    pairs = pair_keys(trips["pickup_zone"].tolist(), trips["dropoff_zone"].tolist())
    metres = line_km(origin, destination) * 1000
    heuristic = fit_pair_median(pairs, metres, hour, trips["duration_s"].to_numpy())
    frame = city.zones.frame()
    zones = Zones(
        ids=city.zones.ids,
        names=city.zones.names,
        boroughs=tuple(frame["borough"]),
        lat=frame["lat"].to_numpy(),
        lon=frame["lon"].to_numpy(),
    )
    return PointEtas(Fallback(heuristic, zones), Spread.of(zones, frame["polygon"].tolist()))
