"""Trips come in from the sample and from the TLC's files, and what is wrong is said."""

from __future__ import annotations

import os
import shutil
import threading
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from contracts.errors import DataRefused, InvalidInput, NotFound, SchemaMismatch, TandemError
from contracts.trips import SOURCE_KEY, ZONE_COLUMNS
from pipelines import data
from tests.small_city import ZONE_IDS, small_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty TANDEM_HOME."""
    return tmp_path / "home"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three zones instead of a download."""
    wheel = small_wheel(tmp_path / "small.whl")
    monkeypatch.setattr(data, "fetch_wheel", lambda *_, **__: wheel)


def _month(folder: Path, colour: str, month: str, **changes: Any) -> pd.DataFrame:
    """Write a month of four rows: two trips, one row of an unknown zone, one of no distance."""
    prefix = {"green": "lpep", "yellow": "tpep"}[colour]
    pickup = pd.to_datetime([f"{month}-0{day} 08:00" for day in (4, 3, 2, 1)])
    frame = pd.DataFrame(
        {
            f"{prefix}_pickup_datetime": pickup,
            f"{prefix}_dropoff_datetime": pickup + pd.Timedelta(600, "s"),
            "PULocationID": [74, 75, 265, 74],
            "DOLocationID": [75, 74, 74, 75],
            "trip_distance": [2.0, 2.5, 2.0, 0.0],
            "fare_amount": 10.0,
        }
        | changes
    )
    frame.to_parquet(folder / f"{colour}_tripdata_{month}.parquet")
    return frame


@pytest.fixture
def tlc(tmp_path: Path) -> Path:
    """A folder as the TLC's: two green months, one yellow, and the zones."""
    folder = tmp_path / "tlc"
    folder.mkdir()
    _month(folder, "green", "2020-08")
    _month(folder, "green", "2020-09")
    _month(folder, "yellow", "2020-08")
    zones = "LocationID,zone,borough,lon,lat,area_km2\n75,East Harlem South,Manhattan,-73.94,40.79,1.5\n"
    zones += (
        "74,East Harlem North,Manhattan,-73.93,40.80,1.5\n57,Corona,Queens,,,1.0\n264,Unknown,Unknown,-73.9,40.7,1\n"
    )
    (folder / data.ZONES_FILE).write_text(zones)
    return folder


@pytest.fixture
def tlc_url(tlc: Path) -> Iterator[str]:
    """Serve the same folder over HTTP on a free loopback port."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tlc)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("small")
def test_the_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """Same seed, same bytes; another seed, others."""
    one, two, other = (
        data.sample(tmp_path / name, trips=500, weeks=1, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    hashes = [list(summary["files"].values()) for summary in (one, two, other)]
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[2][0]


@pytest.mark.usefixtures("small")
def test_the_sample_says_that_it_is_drawn(home: Path) -> None:
    """Summary and file both say where the rows come from; the zones have outlines."""
    summary = data.sample(home, trips=500, weeks=1)
    table = pq.read_table(home / "data" / "trips.parquet")
    assert table.schema.metadata[SOURCE_KEY.encode()].decode() == summary["source"]
    assert summary["source"].startswith("drawn from real aggregates")
    assert summary["rows"] == table.num_rows
    zones = pd.read_parquet(home / "data" / "zones.parquet")
    assert list(zones.columns) == list(ZONE_COLUMNS)
    assert list(zones["zone"]) == [str(zone) for zone in ZONE_IDS]
    assert zones["polygon"].str.startswith("POLYGON").all()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("arguments", "field"), [({"trips": 0}, "trips"), ({"weeks": 0}, "weeks"), ({"start": date(2018, 4, 3)}, "start")]
)
def test_bad_sample_arguments_are_named(home: Path, arguments: dict[str, Any], field: str) -> None:
    """Bounds are told and nothing is written."""
    with pytest.raises(InvalidInput, match=field):
        data.sample(home, **arguments)
    assert not home.exists()


def test_tlc_months_become_one_file(home: Path, tlc: Path) -> None:
    """Months and colours are put together in the order of pickups, and every row is accounted for."""
    summary = data.tlc(home, source=str(tlc), months="2020-08..2020-08", colours=("green", "yellow"))
    trips = pd.read_parquet(home / "data" / "trips.parquet")
    assert list(trips["trip_id"]) == [
        "green-2020-08-00000001",
        "yellow-2020-08-00000001",
        "green-2020-08-00000000",
        "yellow-2020-08-00000000",
    ]
    assert summary["rows"] + sum(summary["dropped"].values()) == summary["read"] == 8
    assert summary["dropped"]["unknown_zone"] == 2
    assert summary["dropped"]["distance_outside_0.1_to_60_mi"] == 2
    assert [report["file"] for report in summary["months"]] == [
        "green_tripdata_2020-08.parquet",
        "yellow_tripdata_2020-08.parquet",
    ]


def test_tlc_zones_are_those_with_a_place(home: Path, tlc: Path) -> None:
    """A zone without coordinates and those past 263 are none."""
    data.tlc(home, source=str(tlc), months="2020-08")
    zones = pd.read_parquet(home / "data" / "zones.parquet")
    assert list(zones.columns) == list(ZONE_COLUMNS)
    assert list(zones["zone"]) == ["74", "75"]
    assert zones["polygon"].isna().all()


def test_tlc_comes_over_http_too(home: Path, tlc: Path, tlc_url: str) -> None:
    """From a URL it gives the same trips as from the folder; the second run needs no server."""
    local = data.tlc(home / "local", source=str(tlc), months="2020-08..2020-09")
    remote = data.tlc(home / "remote", source=tlc_url, months="2020-08..2020-09")
    assert list(local["files"].values()) == list(remote["files"].values())
    shutil.rmtree(tlc)
    again = data.tlc(home / "remote", source=tlc_url, months="2020-08..2020-09")
    assert again == remote


def test_a_month_that_is_not_there_is_named(home: Path, tlc: Path) -> None:
    """No file appears when one of the months is missing."""
    with pytest.raises(NotFound, match=r"green_tripdata_2020-10\.parquet"):
        data.tlc(home, source=str(tlc), months="2020-08..2020-10")
    assert not (home / "data" / "trips.parquet").exists()


def test_missing_zones_say_what_is_needed(home: Path, tlc: Path) -> None:
    """The file and its columns are named."""
    (tlc / data.ZONES_FILE).unlink()
    with pytest.raises(NotFound, match=r"taxi_zone_centroids\.csv.*LocationID, zone, borough, lon, lat"):
        data.tlc(home, source=str(tlc), months="2020-08")


def test_zones_without_coordinates_are_refused(home: Path, tlc: Path) -> None:
    """The TLC's own lookup has no places."""
    (tlc / data.ZONES_FILE).write_text("LocationID,Borough,Zone\n74,Manhattan,East Harlem North\n")
    with pytest.raises(SchemaMismatch, match="no zone, borough, lon, lat"):
        data.tlc(home, source=str(tlc), months="2020-08")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("-73.93,407997.0", "row 2 \\(zone 74\\): lat 407997.0, expected -90 to 90 degrees"),
        ("-739300,40.8", "row 2 \\(zone 74\\): lon -739300.0, expected -180 to 180 degrees"),
    ],
)
def test_zones_in_another_unit_are_refused(home: Path, tlc: Path, place: str, words: str) -> None:
    """The row and the value that are no degrees are named."""
    header = "LocationID,zone,borough,lon,lat\n"
    text = f"{header}75,East Harlem South,Manhattan,-73.94,40.79\n74,East Harlem North,Manhattan,{place}\n"
    (tlc / data.ZONES_FILE).write_text(text)
    with pytest.raises(DataRefused, match=words):
        data.tlc(home, source=str(tlc), months="2020-08")
    assert not (home / "data" / "trips.parquet").exists()


def test_downloads_of_two_addresses_are_kept_apart(home: Path, tlc: Path, tlc_url: str) -> None:
    """A file of the same name below another URL is another file."""
    first = data.tlc(home, source=tlc_url, months="2020-08")
    (tlc / "other").mkdir()
    _month(tlc / "other", "green", "2020-08", trip_distance=3.0)
    shutil.copy(tlc / data.ZONES_FILE, tlc / "other")
    second = data.tlc(home, source=f"{tlc_url}other", months="2020-08")
    assert (first["rows"], second["rows"]) == (2, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lpep_pickup_datetime": 5}, "column lpep_pickup_datetime: found int64"),
        ({"PULocationID": "74"}, "column PULocationID"),
    ],
)
def test_columns_of_other_types_are_refused(home: Path, tlc: Path, changes: dict[str, Any], words: str) -> None:
    """The file, the column, its type and what is expected are named."""
    _month(tlc, "green", "2020-09", **changes)
    with pytest.raises(SchemaMismatch, match=words):
        data.tlc(home, source=str(tlc), months="2020-09")


def test_a_file_that_is_not_the_tlcs_is_refused(home: Path, tlc: Path) -> None:
    """A yellow file under a green name lacks columns, which are named with the file."""
    shutil.copy(tlc / "yellow_tripdata_2020-08.parquet", tlc / "green_tripdata_2020-08.parquet")
    with pytest.raises(SchemaMismatch, match=r"green_tripdata_2020-08.*no lpep_pickup_datetime, lpep_dropoff_datetime"):
        data.tlc(home, source=str(tlc), months="2020-08")


def test_a_file_that_is_no_parquet_is_refused(home: Path, tlc: Path) -> None:
    """An error page saved under the name is not read."""
    (tlc / "green_tripdata_2020-08.parquet").write_text("<html>")
    with pytest.raises(DataRefused, match="not a Parquet file"):
        data.tlc(home, source=str(tlc), months="2020-08")


def test_no_trip_at_all_is_refused(home: Path, tlc: Path) -> None:
    """An empty trips file would only fail later."""
    _month(tlc, "green", "2020-08", PULocationID=265)
    with pytest.raises(DataRefused, match="none of 4 rows"):
        data.tlc(home, source=str(tlc), months="2020-08")
    assert not (home / "data" / "trips.parquet").exists()


@pytest.mark.parametrize("months", ["", "2020", "2020-13", "2020-09..2020-08", "2020-08..", "2020-08-2020-09"])
def test_bad_months_are_refused(home: Path, tlc: Path, months: str) -> None:
    """The form is told."""
    with pytest.raises(InvalidInput, match=r"YYYY-MM\.\.YYYY-MM"):
        data.tlc(home, source=str(tlc), months=months)


@pytest.mark.parametrize("colours", [(), ("blue",)])
def test_bad_colours_are_refused(home: Path, tlc: Path, colours: tuple[str, ...]) -> None:
    """Only green and yellow are known."""
    with pytest.raises(TandemError, match="green, yellow"):
        data.tlc(home, source=str(tlc), months="2020-08", colours=colours)


def test_real_months_keep_most_rows(home: Path) -> None:
    """The TLC's own files from before and after times became timestamps."""
    if not (folder := os.environ.get("TANDEM_TEST_DATA")):
        pytest.skip("TANDEM_TEST_DATA is unset: no TLC months to read")
    summary = data.tlc(home, source=str(Path(folder) / "tlc"), months="2020-12..2021-01")
    assert [(report["read"], report["kept"]) for report in summary["months"]] == [(83130, 79050), (76518, 72460)]
    trips = pd.read_parquet(home / "data" / "trips.parquet")
    assert trips["pickup_at"].is_monotonic_increasing
    assert trips["trip_id"].is_unique
