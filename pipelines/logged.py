"""Logged predictions as a set of trips: the vectors that the model was asked with, and what it answered."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pandas as pd

from adapters.trips_file import read_schema
from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.features import ETA_SCHEMA
from contracts.predictions import ETA
from contracts.zones import Zones
from pipelines.partition_files import PARTIAL
from pipelines.prediction_rows import ANSWERS, FEATURE
from training.context import describe_trips
from training.evaluate import Estimates
from training.trip_vectors import TripVectors

_WORDS: Final = ("pickup_zone", "dropoff_zone")


def is_log(path: Path) -> bool:
    """Whether a path is of the prediction log: a folder of it, or a file that has requests."""
    return path.is_dir() or (path.is_file() and "request_id" in read_schema(path).names)


def read_log(path: Path, zones: Zones) -> tuple[TripVectors, Estimates]:
    """The trips that a model answered, whichever arm it was on; durations are NaN, since nobody knows them yet.

    Raises NotFound for a folder without Parquet, SchemaMismatch for a log of other features, DataRefused where no model
    answered a trip.
    """
    files = [str(file) for file in _files(path)]
    if not files:
        raise NotFound("prediction log", str(path), "no Parquet below it; `python -m pipelines.predictions` makes it")
    features = [f'"{FEATURE}{name}"' for name in ETA_SCHEMA.names]
    columns = [*_WORDS, "epoch_us(start_at) AS start_us", *ANSWERS, *features]
    # Names are the contract's own, not a caller's; SQL has no placeholder for them.
    query = (
        f"SELECT {', '.join(columns)} FROM read_parquet(?, union_by_name = true)"  # noqa: S608
        f" WHERE kind = ? AND source = 'model' AND start_at IS NOT NULL AND {features[0]} IS NOT NULL"
    )
    with duckdb.connect() as connection:
        try:
            found = connection.execute(query, [files, ETA]).fetchnumpy()
        except duckdb.BinderException as error:
            words = f"the columns of schema {ETA_SCHEMA.schema_hash()[:12]}…"
            raise SchemaMismatch(str(path), str(error).splitlines()[0], words) from error
    rows = len(found["start_us"])
    if not rows:
        raise DataRefused(str(path), "no trip in it was answered by a model")
    matrix = np.column_stack([np.ma.filled(found[FEATURE + name], np.nan) for name in ETA_SCHEMA.names])
    trips = pd.DataFrame(
        {
            "pickup_at": pd.to_datetime(np.ma.filled(found["start_us"]), unit="us", utc=True),
            **{name: np.ma.filled(found[name]).astype(str) for name in _WORDS},
        }
    )
    answers = Estimates(*(np.ma.filled(found[name], np.nan).astype(np.float64) for name in ANSWERS))
    context = describe_trips(trips, zones)
    return TripVectors(zones, context, matrix.astype(np.float32), np.full(rows, np.nan)), answers


def _files(path: Path) -> list[Path]:
    """The Parquet of a folder, without what is being written."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*.parquet") if PARTIAL not in file.relative_to(path).parts)
