"""From a trips file to vectors: features as of each trip's start, then the transforms that serving uses too."""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from adapters.tables import read_zones
from adapters.trips_file import trips_writer
from contracts.errors import DataRefused
from contracts.trips import CITY_TZ
from pipelines.layout import Layout
from pipelines.materialize import build, tables
from pipelines.trips import read_trips
from training.context import describe_trips
from training.dataset import mask_live, point_in_time_join, trip_matrix
from training.evaluate import slices
from training.settings import TrainingSettings
from training.tiers import TripVectors

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LearningData:
    """Trips to learn from, all of which had ended before the local day `test_from`, and trips from that day on."""

    learn: TripVectors
    test: TripVectors
    test_from: date
    train_span: tuple[str, str]
    trips_file: Path
    zones_file: Path


def learning_data(
    layout: Layout, trips_file: Path | None, test_from: date | None, settings: TrainingSettings
) -> LearningData:
    """Build the features of a trips file, or of the home's own, and split it.

    Live values are masked in a share of the rows learned from. Raises DataRefused where one side of the split is empty.
    """
    file = trips_file or layout.trips
    trips = read_trips(file)
    split = test_from or _default_split(trips, settings.test_share)
    boundary = pd.Timestamp(split, tz=CITY_TZ)
    learn = (trips["dropoff_at"] < boundary).to_numpy()
    test = (trips["pickup_at"] >= boundary).to_numpy()
    for rows, side in ((learn, "to learn from, ended before"), (test, "to test on, from")):
        if not rows.any():
            raise DataRefused(str(file), f"no trips {side} {split}")
    if trips_file is None:
        build(layout.home)
        vectors = _vectors(trips, layout, masked=learn, seed=settings.seed)
    else:
        vectors = vectors_apart(layout.zones, trips, masked=learn, seed=settings.seed)
    learned = trips.loc[learn, "pickup_at"]
    return LearningData(
        learn=vectors.rows(learn),
        test=vectors.rows(test),
        test_from=split,
        train_span=(learned.iloc[0].isoformat(), learned.iloc[-1].isoformat()),
        trips_file=file,
        zones_file=layout.zones,
    )


def vectors_apart(zones_file: Path, trips: pd.DataFrame, *, masked: Rows | None = None, seed: int = 0) -> TripVectors:
    """Vectors of trips in the city of a zones file, with features of these very trips, leaving a home's own alone."""
    with tempfile.TemporaryDirectory() as folder:
        apart = Layout(Path(folder))
        apart.trips.parent.mkdir()
        shutil.copyfile(zones_file, apart.zones)
        with trips_writer(apart.trips, "a passing copy") as append:
            append(trips)
        build(apart.home)
        return _vectors(trips, apart, masked=masked, seed=seed)


def labels(trips: TripVectors) -> dict[str, npt.NDArray[np.object_]]:
    """Slices of the trips by name."""
    context = trips.context
    return slices(context.borough, context.hour, context.weekday, context.distance_m / 1000.0)


def _vectors(trips: pd.DataFrame, layout: Layout, *, masked: Rows | None, seed: int) -> TripVectors:
    zones = read_zones(layout.zones)
    looked_up = point_in_time_join(trips, tables(layout.home))
    if masked is not None:
        looked_up.loc[masked] = mask_live(looked_up.loc[masked], seed=seed)
    matrix = trip_matrix(trips, looked_up, zones)
    return TripVectors(zones, describe_trips(trips, zones), matrix, trips["duration_s"].to_numpy())


def _default_split(trips: pd.DataFrame, share: float) -> date:
    local = trips["pickup_at"].dt.tz_convert(CITY_TZ)
    first: date = local.min().date()
    last: date = local.max().date()
    return last + timedelta(days=1 - math.ceil(share * ((last - first).days + 1)))
