"""The TLC's rows are cleaned by stated rules, and each dropped row is counted once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from contracts.errors import SchemaMismatch
from contracts.trips import TRIP_COLUMNS
from training.trips import COLOURS, RULES, check_columns, clean, source_columns

_ZONES = ("7", "74", "75", "166")
_GOOD: dict[str, Any] = {
    "pickup": "2020-11-05 08:00:00",
    "dropoff": "2020-11-05 08:10:00",
    "PULocationID": 74,
    "DOLocationID": 166,
    "trip_distance": 2.0,
}


def _raw(*changes: dict[str, Any], colour: str = "green") -> pd.DataFrame:
    """Rows that are good but for the changes; one more good row stands in front."""
    rows = [_GOOD | change for change in ({}, *changes)]
    for number, row in enumerate(rows):  # no two rows alike
        row["trip_distance"] = None if row["trip_distance"] is None else row["trip_distance"] + number * 1e-6
    frame = pd.DataFrame(rows)
    frame["pickup"], frame["dropoff"] = pd.to_datetime(frame["pickup"]), pd.to_datetime(frame["dropoff"])
    return frame.rename(columns=dict(zip(("pickup", "dropoff"), source_columns(colour), strict=False)))


def _clean(raw: pd.DataFrame, colour: str = "green") -> tuple[pd.DataFrame, dict[str, int]]:
    return clean(raw, colour=colour, month=pd.Period("2020-11", "M"), zones=_ZONES)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("missing_times_or_zones", {"pickup": None}),
        ("missing_times_or_zones", {"dropoff": None}),
        ("missing_times_or_zones", {"DOLocationID": None}),
        ("pickup_outside_month", {"pickup": "2020-10-31 23:59:59", "dropoff": "2020-11-01 00:10:00"}),
        ("pickup_outside_month", {"pickup": "2020-12-01 00:00:00", "dropoff": "2020-12-01 00:10:00"}),
        ("unknown_zone", {"PULocationID": 264}),
        ("unknown_zone", {"DOLocationID": 57}),
        ("duration_outside_1_to_120_min", {"dropoff": "2020-11-05 08:00:59", "trip_distance": 0.5}),
        ("duration_outside_1_to_120_min", {"dropoff": "2020-11-05 10:00:01"}),
        ("duration_outside_1_to_120_min", {"dropoff": "2020-11-05 07:50:00"}),
        ("distance_outside_0.1_to_60_mi", {"trip_distance": 0.09}),
        ("distance_outside_0.1_to_60_mi", {"trip_distance": 60.1}),
        ("distance_outside_0.1_to_60_mi", {"trip_distance": None}),
        ("speed_outside_1_to_70_mph", {"trip_distance": 0.15}),
        ("speed_outside_1_to_70_mph", {"trip_distance": 12.0}),
        ("local_time_ambiguous_or_nonexistent", {"pickup": "2020-11-01 01:30:00", "dropoff": "2020-11-01 01:40:00"}),
    ],
)
def test_each_rule_takes_its_row(rule: str, change: dict[str, Any]) -> None:
    """A row that breaks one rule is counted under it and under no other."""
    trips, dropped = _clean(_raw(change))
    assert len(trips) == 1
    assert dropped == {name: int(name == rule) for name in RULES}


@pytest.mark.parametrize(
    "change",
    [
        {"dropoff": "2020-11-05 08:01:00", "trip_distance": 0.5},
        {"dropoff": "2020-11-05 10:00:00", "trip_distance": 5.0},
        {"trip_distance": 0.17},
        {"pickup": "2020-11-30 23:59:59", "dropoff": "2020-12-01 00:10:00"},
    ],
)
def test_rows_at_the_bounds_are_trips(change: dict[str, Any]) -> None:
    """Bounds belong to what is allowed."""
    trips, dropped = _clean(_raw(change))
    assert len(trips) == 2
    assert not any(dropped.values())


def test_the_first_rule_takes_a_row_that_breaks_many() -> None:
    """Every row read is either a trip or counted exactly once."""
    raw = _raw({"PULocationID": 265, "trip_distance": 0.0}, {"trip_distance": 0.0, "dropoff": "2020-11-05 08:00:00"})
    trips, dropped = _clean(raw)
    assert dropped["unknown_zone"] == 1
    assert dropped["duration_outside_1_to_120_min"] == 1
    assert len(trips) + sum(dropped.values()) == len(raw)


def test_a_repeated_row_counts_once() -> None:
    """The first of equal rows stays."""
    raw = pd.concat([_raw(), _raw(), _raw({})], ignore_index=True)
    trips, dropped = _clean(raw)
    assert dropped["duplicate"] == 2
    assert list(trips["trip_id"]) == ["green-2020-11-00000000", "green-2020-11-00000003"]


def test_a_change_of_the_clocks_does_not_lengthen_a_trip() -> None:
    """A trip over the hour that spring skips lasts what UTC says."""
    spring = {"pickup": "2020-03-08 01:50:00", "dropoff": "2020-03-08 03:10:00"}
    trips, dropped = clean(_raw(spring), colour="green", month=pd.Period("2020-03", "M"), zones=_ZONES)
    assert trips["duration_s"].tolist() == [20 * 60]
    assert dropped["pickup_outside_month"] == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_frame_is_canonical(colour: str) -> None:
    """Green and yellow give the contract's columns, sorted, in UTC and kilometres, without coordinates."""
    early = {"pickup": "2020-11-02 08:00:00", "dropoff": "2020-11-02 08:10:00"}
    trips, _ = _clean(_raw(early, colour=colour), colour)
    assert list(trips.columns) == list(TRIP_COLUMNS)
    assert list(trips["trip_id"]) == [f"{colour}-2020-11-00000001", f"{colour}-2020-11-00000000"]
    assert trips["pickup_at"][0] == pd.Timestamp("2020-11-02 13:00", tz="UTC")
    assert trips["distance_km"][1] == pytest.approx(3.218688)
    assert list(trips["pickup_zone"]) == ["74", "74"]
    assert trips[["pickup_lat", "pickup_lon", "dropoff_lat", "dropoff_lon"]].isna().all(axis=None)


def test_times_as_text_are_read() -> None:
    """Months before 2021 hold text; what is no time is missing."""
    raw = _raw({})
    for name in source_columns("green")[:2]:
        raw[name] = raw[name].dt.strftime("%Y-%m-%d %H:%M:%S")
    raw.loc[1, source_columns("green")[0]] = "yesterday"
    trips, dropped = _clean(raw)
    assert trips["duration_s"].tolist() == [600.0]
    assert dropped["missing_times_or_zones"] == 1


def test_a_file_of_other_columns_is_refused() -> None:
    """The error names the file and what it lacks."""
    with pytest.raises(
        SchemaMismatch, match=r"x\.parquet: found no tpep_pickup_datetime, trip_distance among its 3 col"
    ):
        check_columns("x.parquet", "yellow", ["tpep_dropoff_datetime", "PULocationID", "DOLocationID"])


def test_a_real_month_passes_as_the_facts_say() -> None:
    """Of a real month 92 to 95 percent of the rows are trips."""
    if not (folder := os.environ.get("TANDEM_TEST_DATA")):
        pytest.skip("TANDEM_TEST_DATA is unset: no TLC months to read")
    table = pq.read_table(
        Path(folder) / "tlc" / "green_tripdata_2020-11.parquet", columns=list(source_columns("green"))
    )
    raw = table.to_pandas()
    trips, dropped = clean(raw, colour="green", month=pd.Period("2020-11", "M"), zones=[str(z) for z in range(1, 264)])
    assert len(trips) + sum(dropped.values()) == len(raw)
    assert 0.92 < len(trips) / len(raw) < 0.97
    assert dropped["local_time_ambiguous_or_nonexistent"] > 0
