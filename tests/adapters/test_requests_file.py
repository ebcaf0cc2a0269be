"""Any range of a requests file is the same rows, however its row groups fall."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapters.requests_file import RequestsFile
from tests.some_trips import some_trips

ROWS = 230


@pytest.fixture(scope="module")
def trips() -> pd.DataFrame:
    """A canonical trip frame serves as requests."""
    return some_trips(ROWS, days=3)


@pytest.mark.parametrize("group", [1, 7, 64, 1000])
@pytest.mark.parametrize("part", [1, 13, 64, 300])
def test_parts_are_the_file(trips: pd.DataFrame, tmp_path: Path, group: int, part: int) -> None:
    """Nothing twice, nothing missing, in order."""
    path = tmp_path / "requests.parquet"
    trips.to_parquet(path, row_group_size=group)
    file = RequestsFile(path)
    assert file.rows == ROWS
    parts = [file.read(start, part) for start in range(0, ROWS, part)]
    assert [len(one.ids) for one in parts] == [file.rows_from(start, part) for start in range(0, ROWS, part)]
    assert [one for of in parts for one in of.ids] == trips["trip_id"].tolist()
    np.testing.assert_array_equal(
        np.concatenate([one.at_us for one in parts]), trips["pickup_at"].astype("int64").to_numpy()
    )
    at_us = trips["pickup_at"].astype("int64")
    assert file.span_us == (at_us.min(), at_us.max())


def test_numbers_for_ids_and_absent_records(trips: pd.DataFrame, tmp_path: Path) -> None:
    """Whole numbers are read as their text; without the column, or with a null in it, nothing was recorded."""
    path = tmp_path / "requests.parquet"
    frame = pd.DataFrame(
        {
            "id": range(ROWS),
            "at": trips["pickup_at"].dt.tz_convert("America/New_York"),
            "pickup_zone": trips["pickup_zone"].astype(int),
            "dropoff_zone": trips["dropoff_zone"],
        }
    )
    frame.to_parquet(path)
    found = RequestsFile(path).read(0, 10)
    assert (found.ids[3], found.pickup_zone) == ("3", trips["pickup_zone"].tolist()[:10])
    assert np.isnan(found.recorded_s).all()
    frame.assign(duration_s=pd.array([None, *[600] * (ROWS - 1)], dtype="Int64")).to_parquet(path)
    assert RequestsFile(path).read(0, 3).recorded_s.tolist()[1:] == [600.0, 600.0]
    assert np.isnan(RequestsFile(path).read(0, 3).recorded_s[0])


def test_it_travels_to_another_process(trips: pd.DataFrame, tmp_path: Path) -> None:
    """Open or not."""
    path = tmp_path / "requests.parquet"
    trips.to_parquet(path)
    file = RequestsFile(path)
    file.read(0, 5)
    assert pickle.loads(pickle.dumps(file)).read(2, 1).ids == [trips["trip_id"].iloc[2]]  # noqa: S301
