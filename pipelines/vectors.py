"""From a trips file to vectors: features as of each trip's start, then the transforms that serving uses too."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from adapters.requests_file import RequestsFile
from adapters.tables import read_zones
from adapters.trips_file import trips_writer
from contracts.errors import DataRefused
from contracts.schema import Matrix
from contracts.trips import CITY_TZ
from pipelines.background import make_background, never_became_trips
from pipelines.layout import Layout
from pipelines.materialize import build, tables
from pipelines.trips import read_trips
from training.context import describe_trips
from training.dataset import epoch_s, mask_live, point_in_time_join, trip_matrix
from training.distill import Background
from training.evaluate import slices
from training.labels import is_mature
from training.settings import TrainingSettings
from training.trip_vectors import TripVectors

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
    requests_file: Path | None = None  # whose requests without a trip were learned from, too
    background: Background | None = None  # for teachers, where the settings ask for them


def learning_data(
    layout: Layout,
    trips_file: Path | None,
    test_from: date | None,
    settings: TrainingSettings,
    *,
    requests: Path | None = None,
) -> LearningData:
    """Build the features of a trips file, or of the home's own, and split it.

    With teachers, those of the `requests` that never became trips are learned from, too. Live values are masked in a
    share of the rows learned from. Raises DataRefused where one side of the split is empty.
    """
    file = trips_file or layout.trips
    trips = read_trips(file)
    split = test_from or _default_split(trips, settings.test_share)
    boundary = pd.Timestamp(split, tz=CITY_TZ)
    learn = is_mature(epoch_s(trips["pickup_at"]), boundary.timestamp()) & (trips["dropoff_at"] < boundary).to_numpy()
    test = (trips["pickup_at"] >= boundary).to_numpy()
    for rows, side in ((learn, "to learn from, ended before"), (test, "to test on, from")):
        if not rows.any():
            raise DataRefused(str(file), f"no trips {side} {split}")
    background = None
    with _features(layout.zones, trips, layout if trips_file is None else None) as place:
        vectors = _vectors(trips, place, masked=learn, seed=settings.seed)
        if settings.distill.folds:

            def of_queries(queries: pd.DataFrame) -> Matrix:
                return _matrix(queries, place, masked=np.ones(len(queries), dtype=np.bool_), seed=settings.seed)

            zones, asked = vectors.zones, RequestsFile(requests) if requests else None
            background = make_background(
                trips[learn],
                zones,
                settings.distill,
                seed=settings.seed,
                vectors_of=of_queries,
                never_trips=never_became_trips(asked, trips, zones, boundary.timestamp()) if asked else None,
            )
    learned = trips.loc[learn, "pickup_at"]
    return LearningData(
        learn=vectors.rows(learn),
        test=vectors.rows(test),
        test_from=split,
        train_span=(learned.iloc[0].isoformat(), learned.iloc[-1].isoformat()),
        trips_file=file,
        zones_file=layout.zones,
        requests_file=requests,
        background=background,
    )


def vectors_apart(zones_file: Path, trips: pd.DataFrame, *, masked: Rows | None = None, seed: int = 0) -> TripVectors:
    """Vectors of trips in the city of a zones file, with features of these very trips, leaving a home's own alone."""
    with _features(zones_file, trips, None) as place:
        return _vectors(trips, place, masked=masked, seed=seed)


def labels(trips: TripVectors) -> dict[str, npt.NDArray[np.object_]]:
    """Slices of the trips by name."""
    context = trips.context
    return slices(context.borough, context.hour, context.weekday, context.distance_m / 1000.0)


@contextmanager
def _features(zones_file: Path, trips: pd.DataFrame, own: Layout | None) -> Iterator[Layout]:
    """Features of trips: in the home whose own they are, else in a passing one."""
    if own is not None:
        build(own.home)
        yield own
        return
    with tempfile.TemporaryDirectory() as folder:
        apart = Layout(Path(folder))
        apart.trips.parent.mkdir()
        shutil.copyfile(zones_file, apart.zones)
        with trips_writer(apart.trips, "a passing copy") as append:
            append(trips)
        build(apart.home)
        yield apart


def _vectors(trips: pd.DataFrame, layout: Layout, *, masked: Rows | None, seed: int) -> TripVectors:
    zones, matrix = read_zones(layout.zones), _matrix(trips, layout, masked=masked, seed=seed)
    return TripVectors(zones, describe_trips(trips, zones), matrix, trips["duration_s"].to_numpy())


def _matrix(asked: pd.DataFrame, layout: Layout, *, masked: Rows | None, seed: int) -> Matrix:
    looked_up = point_in_time_join(asked, tables(layout.home))
    if masked is not None:
        looked_up.loc[masked] = mask_live(looked_up.loc[masked], seed=seed)
    return trip_matrix(asked, looked_up, read_zones(layout.zones))


def _default_split(trips: pd.DataFrame, share: float) -> date:
    local = trips["pickup_at"].dt.tz_convert(CITY_TZ)
    first: date = local.min().date()
    last: date = local.max().date()
    return last + timedelta(days=1 - math.ceil(share * ((last - first).days + 1)))
