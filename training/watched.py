"""What drift is looked for in: a set of trips, and the answers of the version that serves, as columns."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from contracts.features import DAY_S, ETA_SCHEMA, LONG_WINDOWS_S
from training.drift import Column
from training.evaluate import Estimates
from training.trip_vectors import TripVectors

ERROR: Final = "error_min"
"""The answers' errors: of trips that a version has learned from they flatter it."""

_BESIDE: Final = frozenset({"pickup_lat", "pickup_lon", "dropoff_lat", "dropoff_lon", "bearing_sin", "bearing_cos"})
"""Entries that boroughs, zones and distance tell in words that a person reads."""


def watch(trips: TripVectors, answers: Estimates | None) -> dict[str, Column]:
    """Columns by name: the vector's entries and the trips' zones, answers and labels where there are any."""
    context, zones = trips.context, trips.zones
    columns = {
        name: Column("data", trips.matrix[:, at].astype(np.float64), memory_days(name))
        for at, name in enumerate(ETA_SCHEMA.names)
        if name not in _BESIDE
    }
    for side, places in (("pickup", context.pickup), ("dropoff", context.dropoff)):
        columns[f"{side}_borough"] = Column("data", np.array([zones.boroughs[at] for at in places], dtype=object))
        columns[f"{side}_zone"] = Column("data", np.array([zones.ids[at] for at in places], dtype=object))
    if answers is not None:
        columns["eta_min"] = Column("prediction", answers.eta_s / 60.0)
        if answers.low_s is not None and answers.high_s is not None:
            columns["relative_range"] = Column("prediction", (answers.high_s - answers.low_s) / answers.eta_s)
    return columns if np.isnan(trips.duration_s).any() else columns | _labels(trips, answers)


def memory_days(name: str) -> int:
    """How many days apart two trips must be for an entry of the vector not to rest on the same ended trips."""
    return next((1 + math.ceil(s / DAY_S) for window, s in LONG_WINDOWS_S.items() if name.endswith(f"_{window}")), 1)


def _labels(trips: TripVectors, answers: Estimates | None) -> dict[str, Column]:
    km, hours = trips.context.distance_m / 1000.0, trips.duration_s / 3600.0
    columns = {
        "duration_min": Column("label", trips.duration_s / 60.0),
        "speed_kmh": Column("label", np.where(km > 0, km / hours, np.nan)),
    }
    if answers is not None:
        columns[ERROR] = Column("label", (answers.eta_s - trips.duration_s) / 60.0)
    return columns
