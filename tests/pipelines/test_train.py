"""From trips to a published version and back to its figures, on a city of three zones."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from adapters.artifact_store import ETA_FILE, MATRIX_FILE, ArtifactStore, read_artifact
from adapters.onnx_session import OnnxModel
from adapters.trips_file import trips_writer, write_zones
from contracts.errors import ArtifactInvalid, DataRefused, InvalidInput, NotFound
from contracts.trips import CITY_TZ, TRIP_COLUMNS
from model_registry.store import ModelStore
from pipelines.evaluate import evaluate
from pipelines.layout import Layout
from pipelines.publish import publish
from pipelines.train import train
from pipelines.vectors import learning_data
from training.gates import GatesFailed
from training.settings import TrainingSettings, override

TINY = {
    "teacher.rounds": 20,
    "teacher.leaves": 15,
    "student.rounds": 40,
    "student.leaves": 15,
    "zones_only.rounds": 10,
    "parity_rows": 2000,
    "golden_rows": 256,
}
CANDIDATES = ("tree", "net", "net_s8s8", "net_u16s8")
FIRST_DAY = date(2020, 8, 3)


def small_town(home: Path, *, rows: int = 6000, days: int = 14, seed: int = 0) -> Path:
    """Two weeks of trips between three zones, slower by day than by night."""
    rng = np.random.default_rng(seed)
    zones = pd.DataFrame(
        {
            "zone": ["4", "12", "230"],
            "name": ["East", "South", "West"],
            "borough": ["Manhattan", "Manhattan", "Queens"],
            "lat": [40.72, 40.70, 40.76],
            "lon": [-73.98, -74.01, -73.90],
            "polygon": None,
        }
    )
    write_zones(home / "data" / "zones.parquet", zones, "a test")
    start = pd.Timestamp(FIRST_DAY, tz=CITY_TZ).tz_convert("UTC")
    pickup = start + pd.to_timedelta(np.sort(rng.integers(0, days * 86400, rows)), unit="s")
    a, b = rng.integers(0, 3, (2, rows))
    hour = pickup.tz_convert(CITY_TZ).hour.to_numpy()
    seconds = 240 * (1 + np.abs(a - b)) * np.where((hour > 7) & (hour < 20), 1.5, 1.0) * rng.lognormal(0, 0.25, rows)
    seconds = np.clip(np.round(seconds), 60, 7200)
    frame = pd.DataFrame({"trip_id": [f"t{i:06d}" for i in range(rows)], "pickup_at": pickup, "duration_s": seconds})
    frame["dropoff_at"] = frame["pickup_at"] + pd.to_timedelta(seconds, unit="s")
    ids = zones["zone"].to_numpy()
    frame = frame.reindex(columns=list(TRIP_COLUMNS)).assign(pickup_zone=ids[a], dropoff_zone=ids[b])
    with trips_writer(home / "data" / "trips.parquet", "a test") as append:
        append(frame)
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with trips."""
    return small_town(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def trained(home: Path) -> dict[str, Any]:
    """What the first training run said; its version is published."""
    found = train(home, params=TINY)
    publish(home, found["version"])
    return found


def test_a_version_is_registered_with_every_baseline_beside_it(trained: dict[str, Any]) -> None:
    """The last 15 % of the days are the test; nothing flips; the student beats the pair median."""
    assert (trained["version"], trained["alias"]) == (1, "champion")
    assert trained["trips"]["test_from"] == str(FIRST_DAY + timedelta(days=11))
    rivals = [name for name in trained["table"] if name.endswith(("_hard", "_distilled"))]
    assert len(rivals) == len(CANDIDATES)
    models = {"haversine", "pair_median", "zones_only", "student", "teacher", *CANDIDATES}
    assert set(trained["table"]) == models | set(rivals)
    assert trained["parity"]["flips"] == 0
    assert trained["table"]["student"]["below_baseline"] > 0.05
    assert 0.7 < trained["range"]["coverage"] < 0.9


def test_the_same_trips_and_seed_give_the_same_model(home: Path, trained: dict[str, Any]) -> None:
    """Byte by byte; the second version is candidate, and publishing the first again changes nothing."""
    again = train(home, params=TINY)
    assert (again["version"], again["alias"]) == (2, "candidate")
    publish(home, 2)
    publish(home, 1)
    store = ArtifactStore(home / "artifacts")
    first, second = (store.read("eta", version) for version in (1, 2))
    assert first.files == second.files
    assert first.manifest.lineage.data_hashes == second.manifest.lineage.data_hashes
    assert first.manifest.metrics == second.manifest.metrics


def test_evaluate_gives_the_figures_of_the_run(home: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    """From the published ONNX and the test trips alone, with the history before them."""
    trips = pd.read_parquet(home / "data" / "trips.parquet")
    test = trips[trips["pickup_at"] >= pd.Timestamp(trained["trips"]["test_from"], tz=CITY_TZ)]
    with trips_writer(tmp_path / "test.parquet", "a test") as append:
        append(test)
    found = evaluate(home, version=1, trips=tmp_path / "test.parquet")
    assert found["trips"] == trained["trips"]["tested"]
    for model in ("haversine", "pair_median", "student"):
        assert found["table"][model] == pytest.approx(trained["table"][model], rel=1e-12)
    assert found["range"] == pytest.approx(trained["range"], rel=1e-12)
    assert sum(row["trips"] for row in found["slices"]["hour"].values()) == found["trips"]


def test_evaluate_takes_the_city_of_the_version(home: Path, trained: dict[str, Any], tmp_path: Path) -> None:
    """With the data of another city in the home, figures are those of the zones that the model was trained on."""
    trips = pd.read_parquet(home / "data" / "trips.parquet")
    with trips_writer(tmp_path / "test.parquet", "a test") as append:
        append(trips[trips["pickup_at"] >= pd.Timestamp(trained["trips"]["test_from"], tz=CITY_TZ)])
    other = small_town(tmp_path / "other")
    elsewhere = pd.read_parquet(other / "data" / "trips.parquet").replace({"pickup_zone": {"4": "999"}})
    with trips_writer(other / "data" / "trips.parquet", "a test") as append:
        append(pd.concat([trips, elsewhere.assign(trip_id="e" + elsewhere["trip_id"])]).sort_values("pickup_at"))
    zones = pd.read_parquet(other / "data" / "zones.parquet").iloc[::-1]
    write_zones(other / "data" / "zones.parquet", zones.assign(lat=zones["lat"] - 0.3), "a test")
    (other / "artifacts").symlink_to(home / "artifacts")
    found, expected = (evaluate(of, version=1, trips=tmp_path / "test.parquet") for of in (other, home))
    assert found["history"] > expected["history"]
    assert found["table"]["haversine"] == expected["table"]["haversine"]


def test_what_is_not_registered_or_was_changed_is_not_published(home: Path, trained: dict[str, Any]) -> None:
    """A version is checked as a replica checks it, before it is in the store."""
    with pytest.raises(NotFound, match="eta@99"):
        publish(home, 99)
    (graph,) = (home / "mlartifacts").glob(f"**/{trained['run']}/**/{ETA_FILE}")
    before = graph.read_bytes()
    try:
        graph.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(ArtifactInvalid, match=r"hash check: eta\.onnx"):
            publish(home, 1)
    finally:
        graph.write_bytes(before)
    assert read_artifact(home / "artifacts" / "eta@1").files[ETA_FILE] == before


def test_both_families_are_measured_and_one_is_taken_for_each_use(home: Path, trained: dict[str, Any]) -> None:
    """Cost and held-out error of every candidate; the artifact holds the winners, and both passed all gates."""
    assert set(trained["candidates"]) == set(CANDIDATES)
    assert all(row["p50_us_512"] > 0 for row in trained["candidates"].values())
    assert trained["candidates"]["net_s8s8"]["bytes"] <= 60 * 1024
    serves = trained["serves"]
    assert trained["gates"] == dict.fromkeys(serves, "10 passed")
    assert trained["table"]["student"] == trained["table"][serves[ETA_FILE]]
    files = ArtifactStore(home / "artifacts").read("eta", 1).files
    assert len(files[MATRIX_FILE]) == trained["candidates"][serves[MATRIX_FILE]]["bytes"]
    assert OnnxModel(files[MATRIX_FILE]).width == OnnxModel(files[ETA_FILE]).width


def test_a_failed_gate_stops_registration_and_keeps_its_evidence(home: Path, trained: dict[str, Any]) -> None:
    """A student that learned nothing: the error says which gate and by how much; the run failed and has no version."""
    layout = Layout(home)
    registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
    before = registry.versions("eta")
    nothing = {"student.rounds": 1, "student.learning_rate": 1e-3, "net.epochs": 1, "net.learning_rate": 1e-6}
    with pytest.raises(GatesFailed, match=r"and is not kept: .*champion: the error is \+\d+") as failure:
        train(home, params={**TINY, **nothing})
    assert [one.name for one in failure.value.results if not one.passed][-2:] == ["champion", "slices"]
    assert registry.versions("eta") == before
    client = MlflowClient(layout.mlflow_uri)
    experiment = client.get_experiment_by_name("eta")
    run = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=1)[0]
    assert run.info.status == "FAILED"
    assert "gates.json" in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert "artifact" not in {file.path for file in client.list_artifacts(run.info.run_id)}


def test_a_split_without_trips_on_one_side_is_refused(home: Path) -> None:
    """The error says which side."""
    with pytest.raises(DataRefused, match="no trips to test on, from 2031-01-01"):
        train(home, test_from=date(2031, 1, 1))
    with pytest.raises(DataRefused, match="no trips to learn from, ended before 2001-01-01"):
        train(home, test_from=date(2001, 1, 1))


def test_requests_that_never_became_trips_are_learned_from(home: Path, tmp_path: Path) -> None:
    """Those without a record, of the time learned from; not those that became trips, nor those too young to tell."""
    trips = pd.read_parquet(home / "data" / "trips.parquet")
    asked = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(30)],
            "at": trips["pickup_at"].iloc[1000:1030].reset_index(drop=True),
            "pickup_zone": "4",
            "dropoff_zone": "230",
            "duration_s": np.where(np.arange(30) < 5, 600.0, np.nan),
        }
    )
    asked.loc[5:9, "id"] = trips["trip_id"].iloc[1000:1005].to_numpy()
    asked.loc[10:12, "at"] = trips["pickup_at"].iloc[-1]
    asked.to_parquet(tmp_path / "requests.parquet")
    data = [
        learning_data(Layout(home), None, None, override(TrainingSettings(), TINY), requests=requests)
        for requests in (None, tmp_path / "requests.parquet")
    ]
    plain, more = (len(one.background.queries.at_s) for one in data if one.background)
    assert more - plain == 30 - 5 - 5 - 3
    with pytest.raises(InvalidInput, match="requests: without distillation"):
        train(home, requests=tmp_path / "requests.parquet", params={"distill.folds": 0})


def test_a_champion_that_has_seen_the_test_is_no_judge(home: Path, trained: dict[str, Any]) -> None:
    """It refuses nothing and passes nothing: one gate does, until somebody lets the candidate through by name."""
    earlier = FIRST_DAY + timedelta(days=8)
    words = r"comparison: .*eta@1 has learned from trips of the test, up to 2020-08-14.*--without-champion REASON"
    with pytest.raises(GatesFailed, match=words) as failure:
        train(home, params=TINY, test_from=earlier)
    assert [one.name for one in failure.value.results if not one.passed] == ["comparison"]
    found = train(home, params=TINY, test_from=earlier, without_champion="we compare them by hand", because="a test")
    assert found["alias"] == "candidate"
    assert found["comparison"].endswith("let through all the same (--without-champion): we compare them by hand")
    client = MlflowClient(Layout(home).mlflow_uri)
    assert client.get_run(found["run"]).data.tags["because"] == "a test"
