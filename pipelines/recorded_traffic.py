"""A recording of trips as traffic of now: when each is asked for, and when it ends. Pure.

Trips are asked for in the recording's order and at its daily shape, sped up until the busiest quarter of an hour has
the peak rate. A trip takes as long as it took: its end is its request and its own duration.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from contracts.errors import DataRefused
from contracts.events import SCHEMA_VERSION, TripEnded
from contracts.local_time import Ints
from contracts.schema import Floats

_QUARTER_S: Final = 900
_MICRO: Final = 1e6


@dataclass(frozen=True)
class RecordedTraffic:
    """Trips [n] in the order of their requests; times are seconds from the start."""

    trip_id: list[str]
    pickup: list[str]
    dropoff: list[str]
    duration_s: Floats
    asked_s: Floats
    by_end: Ints  # positions in the order of their ends
    speed: float  # of the recording's own time

    @property
    def ended_s(self) -> Floats:
        """When each ends."""
        return self.asked_s + self.duration_s

    def event(self, position: int, start: float) -> TripEnded:
        """The end of a trip, where the replay began at `start` (epoch seconds)."""
        pickup_at = datetime.fromtimestamp(start + float(self.asked_s[position]), UTC)
        return TripEnded(
            schema_version=SCHEMA_VERSION,
            trip_id=self.trip_id[position],
            pickup_at=pickup_at,
            dropoff_at=pickup_at + timedelta(seconds=float(self.duration_s[position])),
            pickup_zone=self.pickup[position],
            dropoff_zone=self.dropoff[position],
        )


def recorded_traffic(trips: pd.DataFrame, *, peak: float, seconds: float | None = None) -> RecordedTraffic:
    """Lay a canonical frame out as traffic.

    Args:
        trips: sorted by `pickup_at`.
        peak: requests per second in the recording's busiest quarter of an hour.
        seconds: no request is later than this after the start.

    Raises DataRefused for trips that do not span any time.

    """
    began_s = trips["pickup_at"].dt.as_unit("us").to_numpy(dtype=np.int64) / _MICRO
    elapsed = began_s - began_s.min(initial=np.inf)
    if not elapsed.max(initial=0.0) > 0:
        raise DataRefused("the trips file", f"its {len(trips)} trips do not span any time, so that they have no rate")
    busiest = float(np.bincount((elapsed // _QUARTER_S).astype(np.int64)).max()) / _QUARTER_S
    speed = peak / busiest
    asked_s = elapsed / speed
    kept = np.flatnonzero(asked_s <= seconds) if seconds is not None else np.arange(len(trips))
    chosen, asked_s = trips.iloc[kept], asked_s[kept]
    duration_s = chosen["duration_s"].to_numpy(dtype=np.float64)
    return RecordedTraffic(
        trip_id=chosen["trip_id"].tolist(),
        pickup=chosen["pickup_zone"].tolist(),
        dropoff=chosen["dropoff_zone"].tolist(),
        duration_s=duration_s,
        asked_s=asked_s,
        by_end=np.argsort(asked_s + duration_s, kind="stable"),
        speed=speed,
    )
