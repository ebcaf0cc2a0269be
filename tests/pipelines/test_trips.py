"""Any file of trips becomes the canonical frame, or is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapters.trips_file import trips_writer, write_zones
from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.trips import TRIP_COLUMNS
from pipelines.trips import read_any_trips, read_trips


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    """Zones 7 and 74."""
    frame = pd.DataFrame({"zone": ["7", "74"], "name": "", "borough": "", "lat": 40.7, "lon": -73.9, "polygon": None})
    write_zones(tmp_path / "zones.parquet", frame, "a test")
    return tmp_path / "zones.parquet"


def canonical(path: Path, seconds: list[float], ids: list[str]) -> Path:
    """Trips of given durations, an hour apart, latest first."""
    start = pd.date_range("2020-08-01 12:00", periods=len(ids), freq="h", tz="UTC")[::-1]
    frame = pd.DataFrame({"trip_id": ids, "pickup_at": start, "duration_s": seconds})
    frame["dropoff_at"] = frame["pickup_at"] + pd.to_timedelta(frame["duration_s"], unit="s")
    frame = frame.reindex(columns=list(TRIP_COLUMNS)).assign(pickup_zone="7", dropoff_zone="74")
    with trips_writer(path, "a test") as append:
        append(frame)
    return path


def test_ours_is_sorted_and_implausible_durations_are_dropped(tmp_path: Path, zones: Path) -> None:
    """A duration of zero would make every relative error infinite."""
    trips, dropped = read_any_trips(canonical(tmp_path / "t.parquet", [600, 0, 7201, 60], list("abcd")), zones)
    assert list(trips["trip_id"]) == ["d", "a"]
    assert dropped == {"duration_outside_1_to_120_min": 2}


def test_the_tlcs_is_cleaned_for_the_month_most_trips_began_in(tmp_path: Path, zones: Path) -> None:
    """Whatever the file is called."""
    pickup = pd.to_datetime(["2020-08-01 10:00", "2020-08-02 10:00", "2020-07-31 23:59"])
    raw = pd.DataFrame(
        {
            "lpep_pickup_datetime": pickup,
            "lpep_dropoff_datetime": pickup + pd.Timedelta("10min"),
            "PULocationID": 7,
            "DOLocationID": 74,
            "trip_distance": 2.0,
        }
    )
    raw.to_parquet(tmp_path / "download.parquet")
    trips, dropped = read_any_trips(tmp_path / "download.parquet", zones)
    assert len(trips) == 2
    assert dropped["pickup_outside_month"] == 1


def test_what_is_no_trips_file_is_refused(tmp_path: Path, zones: Path) -> None:
    """Each with its own words."""
    with pytest.raises(NotFound, match="tandem data"):
        read_trips(tmp_path / "none.parquet")
    with pytest.raises(NotFound, match="none"):
        read_any_trips(tmp_path / "none.parquet", zones)
    (tmp_path / "text.parquet").write_text("pickup,dropoff")
    with pytest.raises(DataRefused, match="not a Parquet file"):
        read_any_trips(tmp_path / "text.parquet", zones)
    pd.DataFrame({"pickup_at": [np.nan]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(SchemaMismatch, match="no trip_id, dropoff_at"):
        read_any_trips(tmp_path / "other.parquet", zones)
    with pytest.raises(DataRefused, match="trip_id 'a' repeats"):
        read_any_trips(canonical(tmp_path / "twice.parquet", [600, 600], ["a", "a"]), zones)
    with pytest.raises(DataRefused, match="no trip that passes"):
        read_any_trips(canonical(tmp_path / "short.parquet", [5], ["a"]), zones)
    naive = pd.read_parquet(canonical(tmp_path / "naive.parquet", [600], ["a"]))
    naive.assign(pickup_at=naive["pickup_at"].dt.tz_localize(None)).to_parquet(tmp_path / "naive.parquet")
    with pytest.raises(SchemaMismatch, match="times in UTC"):
        read_any_trips(tmp_path / "naive.parquet", zones)


BROKEN = {
    "times missing": ({"pickup_at": pd.NaT}, DataRefused, "row 1: no pickup_at"),
    "text for numbers": ({"duration_s": "600"}, SchemaMismatch, "column duration_s: found .*string, expected numbers"),
    "numbers for zones": ({"pickup_zone": 7}, SchemaMismatch, "column pickup_zone: found int64, expected text"),
    "a zone of another city": ({"dropoff_zone": "500"}, DataRefused, "row 1: dropoff_zone '500' is none of .* 2 zones"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_column_is_named(case: str, tmp_path: Path, zones: Path) -> None:
    """File, column or row, what was found and what it should be."""
    change, error, words = BROKEN[case]
    file = canonical(tmp_path / "t.parquet", [600], ["a"])
    frame = pd.read_parquet(file).assign(**change)
    frame["pickup_at"] = pd.to_datetime(frame["pickup_at"], utc=True)
    frame.to_parquet(file)
    with pytest.raises(error, match=f"t.parquet.*{words}"):
        read_any_trips(file, zones)


def test_one_of_the_tlcs_without_a_row_is_refused(tmp_path: Path, zones: Path) -> None:
    """No month can be told from it."""
    columns = ["lpep_pickup_datetime", "lpep_dropoff_datetime", "PULocationID", "DOLocationID", "trip_distance"]
    kinds = dict(zip(columns, ["datetime64[us]", "datetime64[us]", "int64", "int64", "float64"], strict=True))
    pd.DataFrame({name: [] for name in columns}).astype(kinds).to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(DataRefused, match="none of its 0 rows has a pickup time"):
        read_any_trips(tmp_path / "empty.parquet", zones)


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    """Parquet's own end is whole, the data before it is not."""
    file = canonical(tmp_path / "t.parquet", [600.0] * 500, [f"{n}" for n in range(500)])
    content = bytearray(file.read_bytes())
    content[4:400] = bytes(396)
    file.write_bytes(content)
    with pytest.raises(DataRefused, match=r"t\.parquet: can't be read"):
        read_trips(file)


def test_a_home_without_zones_says_what_brings_them(tmp_path: Path) -> None:
    """Not a traceback of Python's."""
    with pytest.raises(NotFound, match="tandem data"):
        read_any_trips(canonical(tmp_path / "t.parquet", [600], ["a"]), tmp_path / "zones.parquet")
