"""The prediction log as a side of `tandem drift`: what was asked and answered, before labels are in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.tables import read_zones
from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.features import ETA_SCHEMA, LOOKUPS
from contracts.predictions import HASH_CHARACTERS, Prediction, SegmentHead
from contracts.schema import Matrix
from pipelines.drift import drift
from pipelines.layout import Layout
from pipelines.logged import read_log
from pipelines.prediction_rows import Columns, Rows
from pipelines.publish import publish
from pipelines.train import train
from pipelines.trips import read_trips
from pipelines.vectors import vectors_apart
from tests.pipelines.test_train import TINY, small_town

HEAD = SegmentHead.of(ETA_SCHEMA, LOOKUPS, "/tandem/test")
A_DAY = 200


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a published version."""
    place = small_town(tmp_path_factory.mktemp("home"))
    publish(place, train(place, params={**TINY, "net.epochs": 1})["version"])
    return place


@pytest.fixture(scope="module")
def log(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fortnight of answers of about ten minutes, a file a day; one request was answered without the model."""
    folder = tmp_path_factory.mktemp("log")
    trips = read_trips(Layout(home).trips)
    matrix = vectors_apart(Layout(home).zones, trips).matrix
    at = trips["pickup_at"].astype("int64").to_numpy() / 1e6
    for number, start in enumerate(range(0, len(trips) - A_DAY, len(trips) // 14)):
        rows = slice(start, start + A_DAY)
        zones = trips["pickup_zone"][rows].tolist(), trips["dropoff_zone"][rows].tolist()
        gathered = Rows(Columns.of(HEAD))
        gathered.add(record(number, *zones, at[rows], matrix[rows]), "/tandem/test")
        gathered.add(record(1000 + number, *zones, at[rows], None), "/tandem/test")
        (folder / f"date={number}").mkdir()
        pq.write_table(gathered.take(), folder / f"date={number}" / "some.parquet")
    return folder


def record(number: int, pickup: list[str], dropoff: list[str], at: np.ndarray, matrix: Matrix | None) -> Prediction:
    """One request for some trips; without a matrix the heuristic answered it."""
    rows = len(pickup)
    return Prediction(
        request_id=f"r{number}",
        at=float(at[0]),
        kind="eta",
        unit="",
        generation=1,
        version=1,
        arm="champion",
        schema_hash=HEAD.schema_hash[:HASH_CHARACTERS],
        ids=[str(row) for row in range(rows)],
        pickup=pickup,
        dropoff=dropoff,
        starts=at.astype("<f8").tobytes(),
        features=b"" if matrix is None else matrix.astype("<f4").tobytes(),
        ages=b"",
        answers=np.tile(np.array([600.0, 480.0, 720.0], "<f4"), rows).tobytes(),
        fallback=b"\1" * rows if matrix is None else b"",
        reason="store_away" if matrix is None else "",
        server_ms=1.0,
        model_ms=0.1,
    )


def test_a_log_is_read_as_it_was_asked(home: Path, log: Path) -> None:
    """Vectors to the bit, the days of the trips, the answers; what the heuristic answered is left out."""
    trips, answers = read_log(log, read_zones(Layout(home).zones))
    assert len(trips) == 14 * A_DAY
    assert len(set(trips.context.day.tolist())) >= 10
    expected = vectors_apart(Layout(home).zones, read_trips(Layout(home).trips)).matrix
    some = read_log(log / "date=3" / "some.parquet", read_zones(Layout(home).zones))[0].matrix
    start = 3 * (len(expected) // 14)
    np.testing.assert_array_equal(some, expected[start : start + A_DAY])
    assert np.unique(answers.eta_s).tolist() == [600.0]
    assert np.isnan(trips.duration_s).all()


def test_a_log_against_itself_has_not_moved(home: Path, log: Path) -> None:
    """There is nothing to say of labels, and the error says why it is not judged."""
    found = drift(home, log, log)
    assert found["moved"] == []
    assert not {"duration_min", "speed_kmh", "error_min"} & set(found["columns"])
    assert "eta_min" in found["columns"]
    assert found["error"] == {"judged": False, "why": "the reference has no labels to learn from where the model errs"}


def test_the_error_is_estimated_before_labels_are_in(home: Path, log: Path) -> None:
    """From trips with labels to a log without: an estimate, and no score yet."""
    error = drift(home, Layout(home).trips, log)["error"]
    assert error["judged"]
    assert error["estimated_mae_s"] == pytest.approx(error["reference_mae_s"], rel=0.1)
    assert (error["mae_s"], error["estimate_off"], error["inside"]) == (None, None, None)


def test_what_is_no_log_of_this_release_is_refused(home: Path, log: Path, tmp_path: Path) -> None:
    """Nothing there, other features, or answers of the heuristic alone."""
    zones = read_zones(Layout(home).zones)
    with pytest.raises(NotFound, match="no Parquet below it"):
        read_log(tmp_path, zones)
    table = pq.read_table(log / "date=0" / "some.parquet", partitioning=None)
    pq.write_table(table.drop_columns(["feature.hour"]), tmp_path / "other.parquet")
    with pytest.raises(SchemaMismatch, match=r"feature\.hour"):
        read_log(tmp_path / "other.parquet", zones)
    nobody = table.set_column(table.schema.get_field_index("source"), "source", pa.array(["fallback"] * len(table)))
    pq.write_table(nobody, tmp_path / "other.parquet")
    with pytest.raises(DataRefused, match="no trip in it was answered by a model"):
        read_log(tmp_path / "other.parquet", zones)
