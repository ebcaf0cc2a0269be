"""`tandem drift` from files of trips to words, JSON and a picture."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from adapters.trips_file import trips_writer
from pipelines import cli
from pipelines.drift import drift
from pipelines.publish import publish
from pipelines.train import train
from tests.pipelines.test_train import TINY, small_town

OF_THE_TRIP = {"duration_min", "speed_kmh", "distance_km", "hour", "pickup_borough", "dropoff_borough", "pickup_zone"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a published version."""
    place = small_town(tmp_path_factory.mktemp("home"))
    publish(place, train(place, params={**TINY, "net.epochs": 1})["version"])
    return place


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Trips as they were, others like them, and the same where each takes 1.5 times as long."""
    folder = tmp_path_factory.mktemp("files")
    found = {
        name: small_town(folder / name, rows=4000, seed=seed) / "data" / "trips.parquet"
        for name, seed in (("before", 1), ("like", 2), ("slow", 3))
    }
    trips = pd.read_parquet(found["slow"])
    seconds = np.clip(trips["duration_s"] * 1.5, 60, 7200).round()
    with trips_writer(found["slow"], "a test") as append:
        append(trips.assign(duration_s=seconds, dropoff_at=trips["pickup_at"] + pd.to_timedelta(seconds, unit="s")))
    return found


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command line."""
    status = cli.main(["drift", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_slower_city_is_named(home: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """By what moved and from what to what; where they and zones stayed, that is not named."""
    found = drift(home, files["before"], files["slow"], plot=tmp_path / "moved.svg")
    assert {"duration_min", "speed_kmh"} <= set(found["moved"])
    assert not {"distance_km", "hour", "pickup_borough", "pickup_zone"} & set(found["moved"])
    speed = found["columns"]["speed_kmh"]
    assert speed["kind"] == "label"
    assert speed["after"] == pytest.approx(speed["before"] / 1.5, rel=0.1)
    assert found["reference"]["trips"] == 4000
    assert (tmp_path / "moved.svg").read_text().startswith("<?xml")


def test_trips_like_the_reference_raise_no_alarm(home: Path, files: dict[str, Path]) -> None:
    """Other trips, the same city: no entry of the trip, no answer and no label moved, and the error is as it was."""
    found = drift(home, files["before"], files["like"])
    assert not (OF_THE_TRIP | {"eta_min"}) & set(found["moved"])
    error = found["error"]
    assert error["model"] == "eta@1"
    assert error["estimated_low_s"] <= error["estimated_mae_s"] <= error["estimated_high_s"]
    assert error["estimate_off"] == pytest.approx(error["estimated_mae_s"] / error["mae_s"] - 1.0)
    assert abs(error["estimate_off"]) < 0.1


def test_the_estimate_is_blind_to_a_city_that_changed_and_its_score_says_so(home: Path, files: dict[str, Path]) -> None:
    """Trips take longer than the same features meant: labels show it, and by how much the estimate missed."""
    error = drift(home, files["before"], files["slow"])["error"]
    assert error["mae_s"] > 1.1 * error["reference_mae_s"]
    assert error["estimate_off"] < -0.05


def test_the_verb_prints_a_table_or_json(
    home: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Finding something is no failure."""
    words = ["--home", str(home), "--reference", str(files["before"]), "--current", str(files["slow"])]
    status, out, _ = run(words, capsys)
    assert status == 0
    assert "columns moved" in out
    assert "speed_kmh" in out
    assert "estimated now, without labels" in out
    status, out, _ = run([*words, "--json"], capsys)
    assert status == 0
    found = json.loads(out)
    assert set(found) == {"reference", "current", "moved", "unjudged", "columns", "rule", "error"}
    assert found["rule"] == {"alpha": 0.05, "min_psi": 0.1, "min_wasserstein": 0.2}


def test_without_a_version_the_trips_alone_are_compared(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says why it is not judged, and nothing is made in a home that had no registry."""
    place = files["before"].parents[1]
    status, out, _ = run(
        ["--home", str(place), "--reference", str(files["before"]), "--current", str(files["like"])], capsys
    )
    assert status == 0
    assert "no version is published" in out
    assert not (place / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--reference", "{before}", "--current", "{before}x"], 1, "x"),
        (["--reference", "{before}", "--current", "{before}", "--version", "9"], 1, "eta@9"),
        (["--reference", "{before}"], 2, "--current"),
        (["--reference", "{before}", "--current", "{before}", "--plot", "a.txt"], 2, "a.txt ends in .txt"),
        (["--reference", "{before}", "--current", "{before}", "--version", "0"], 2, "0 is not a positive number"),
    ],
)
def test_what_can_not_be_done_is_explained(
    home: Path,
    files: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    *,
    words: list[str],
    status: int,
    message: str,
) -> None:
    """With 1, or 2 for wrong usage."""
    asked = ["--home", str(home), *(word.format(before=files["before"]) for word in words)]
    try:
        found, _, err = run(asked, capsys)
    except SystemExit as stopped:
        found, err = int(str(stopped.code)), capsys.readouterr().err
    assert found == status
    assert message in err


def _tlc(month: str) -> Path:
    if not (folder := os.environ.get("TANDEM_TEST_DATA")):
        pytest.skip("TANDEM_TEST_DATA is unset: no TLC months to read")
    return Path(folder) / "tlc" / f"green_tripdata_{month}.parquet"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the TLC's zones and one month."""
    month = _tlc("2021-01")
    place = tmp_path_factory.mktemp("city")
    words = ["data", "tlc", "--from", str(month.parent), "--months", "2021-01..2021-01", "--home", str(place)]
    assert cli.main([*words, "--json"]) == 0
    return place


def test_real_months_apart_are_named(city: Path) -> None:
    """In April 2020 nobody was on the streets: three quarters of a year later trips are slower, longer, and more."""
    found: dict[str, Any] = drift(city, _tlc("2020-04"), _tlc("2021-01"))
    assert {"speed_kmh", "duration_min", "city_count_60m", "pair_log_excess"} <= set(found["moved"])
    assert found["columns"]["speed_kmh"]["after"] < found["columns"]["speed_kmh"]["before"]


@pytest.mark.parametrize("seed", range(3))
def test_halves_of_a_real_month_raise_no_alarm(city: Path, tmp_path: Path, seed: int) -> None:
    """Drawn by lot; bench/drift.py does so for twenty seeds."""
    trips = pd.read_parquet(city / "data" / "trips.parquet")
    first = np.random.default_rng(seed).permutation(len(trips)) < len(trips) // 2
    halves = {"first": trips[first], "second": trips[~first]}
    for name, half in halves.items():
        with trips_writer(tmp_path / f"{name}.parquet", "a test") as append:
            append(half)
    found = drift(city, tmp_path / "first.parquet", tmp_path / "second.parquet")
    assert found["moved"] == []
