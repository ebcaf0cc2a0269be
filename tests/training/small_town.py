"""A town of nine places to train nets on: which place a trip begins at matters, and so does the hour."""

from __future__ import annotations

import numpy as np

from contracts.schema import Feature, FeatureSchema, Floats
from contracts.zones import Zones
from training.context import TripContext
from training.encoding import Columns, Encoding, fit_encoding
from training.settings import NetSettings
from training.trees import Examples
from training.trip_vectors import TripVectors

LAT: Floats = np.array([40.70, 40.71, 40.72, 40.73, 40.73, 40.74, 40.75, 40.76, 40.77])
LON: Floats = np.array([-74.0, -73.99, -74.01, -73.98, -73.97, -73.99, -73.9, -73.95, -73.8])
COLUMNS = Columns(counts=(7,), nullable=(6, 8), places=((0, 1), (2, 3)), clock=(4, 5), offset=9)
WIDTH = 10
SCHEMA = FeatureSchema(
    "town", tuple(Feature(f"f{i}", -200.0 if i < 4 else 0.0, 200.0, nullable=i in {6, 8}) for i in range(WIDTH))
)
SMALL_NET = NetSettings(first=24, second=12, place_width=4, hour_width=2, epochs=12, batch=128, learning_rate=1e-2)

_SLOW = np.array([0.0, 0.3, -0.3, 0.2, -0.2, 0.4, 0.0, -0.4, 0.1])


def draw_town(rows: int, seed: int = 0) -> Examples:
    """Trips of about ten minutes; entry 9 is the log reference, entries 6 and 8 may be absent, entry 7 is a count."""
    rng = np.random.default_rng(seed)
    start, end = rng.integers(0, len(LAT), (2, rows))
    hour, weekday = rng.random(rows) * 24, rng.integers(0, 7, rows)
    live = np.where(rng.random(rows) < 0.3, np.nan, rng.normal(0, 0.3, rows))
    count = np.exp(rng.normal(3, 2, rows)).round()
    other = np.where(rng.random(rows) < 0.5, np.nan, rng.normal(0, 1, rows))
    reference = rng.normal(6.4, 0.4, rows)
    log_s = reference + _SLOW[start] - 0.5 * _SLOW[end] + np.where((hour > 7) & (hour < 19), 0.3, 0.0)
    log_s += np.where(np.isnan(live), 0.2, live) + rng.normal(0, 0.15, rows)
    columns = [LAT[start], LON[start], LAT[end], LON[end], hour, weekday, live, count, other, reference]
    return Examples(np.column_stack(columns).astype(np.float32), np.clip(np.exp(log_s), 60, 7200))


def town_encoding(examples: Examples) -> Encoding:
    """The encoding of the town's vectors."""
    return fit_encoding(examples.matrix, COLUMNS, (LAT, LON))


def town_trips(rows: int, *, a_day: int) -> TripVectors:
    """Trips that nobody was fitted on, so many a day."""
    drawn = draw_town(rows, seed=9)
    ids = tuple(str(i) for i in range(len(LAT)))
    nowhere = np.zeros(rows, dtype=np.intp)
    context = TripContext(
        pickup=nowhere,
        dropoff=nowhere,
        pairs=["0>0"] * rows,
        borough=["Town"] * rows,
        distance_m=np.ones(rows),
        hour=drawn.matrix[:, 4].astype(np.intp),
        weekday=drawn.matrix[:, 5].astype(np.intp),
        day=np.arange(rows) // a_day,
    )
    return TripVectors(Zones(ids, ids, ("Town",) * len(ids), LAT, LON), context, drawn.matrix, drawn.duration_s)
