"""Four zones and seeded trips between them, in the canonical frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contracts.trips import TRIP_COLUMNS
from contracts.zones import Zones

ZONES = Zones(
    ids=("4", "12", "74", "138"),
    names=("A", "B", "C", "D"),
    boroughs=("Manhattan", "Manhattan", "Manhattan", "Queens"),
    lat=np.array([40.724, 40.703, 40.805, 40.774]),
    lon=np.array([-73.977, -74.015, -73.937, -73.872]),
)
START = pd.Timestamp("2020-10-30T00:00:00", tz="America/New_York")  # the clocks change on 1 November


def some_trips(rows: int, *, days: float, seed: int = 0) -> pd.DataFrame:
    """Trips that start within so many days of START, sorted as the contract says."""
    rng = np.random.default_rng(seed)
    pickup_at = START.tz_convert("UTC") + pd.to_timedelta(np.sort(rng.integers(0, int(days * 86_400), rows)), unit="s")
    duration_s = rng.integers(60, 3600, rows).astype(np.float64)
    frame = pd.DataFrame(
        {
            "trip_id": [f"t{i:06d}" for i in range(rows)],
            "pickup_at": pickup_at.as_unit("us"),
            "dropoff_at": (pickup_at + pd.to_timedelta(duration_s, unit="s")).as_unit("us"),
            "pickup_zone": np.array(ZONES.ids)[rng.integers(0, 4, rows)],
            "dropoff_zone": np.array(ZONES.ids)[rng.integers(0, 4, rows)],
            "duration_s": duration_s,
        }
    )
    for name in TRIP_COLUMNS:
        if name not in frame:
            frame[name] = np.nan
    return frame[list(TRIP_COLUMNS)]


def zone_frame(zones: Zones) -> pd.DataFrame:
    """Zones as their file has them, without outlines."""
    rows = {"zone": zones.ids, "name": zones.names, "borough": zones.boroughs, "lat": zones.lat, "lon": zones.lon}
    return pd.DataFrame({**rows, "polygon": None})
