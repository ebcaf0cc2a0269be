"""The retraining policy at work on a home: when it trains, when it does not, and what it remembers."""

from __future__ import annotations

import fcntl
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from adapters.trips_file import trips_writer
from contracts.errors import InvalidInput, NotFound, Unavailable
from contracts.features import DAY_S
from pipelines import cli
from pipelines.layout import Layout
from pipelines.retrain import retrain
from tests.pipelines.test_train import TINY, small_town

SMALL = {**TINY, "net.epochs": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with trips and no version."""
    return small_town(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    """What the first look said: there was no version."""
    return retrain(home, params=SMALL)


def slow_fortnight(home: Path, apart: Path) -> None:
    """Two more weeks of trips, which take half as long again."""
    later = pd.read_parquet(small_town(apart, seed=5) / "data" / "trips.parquet")
    seconds = np.clip(later["duration_s"] * 1.5, 60, 7200).round()
    pickup = later["pickup_at"] + pd.Timedelta(days=14)
    dropoff = pickup + pd.to_timedelta(seconds, unit="s")
    later = later.assign(trip_id="l" + later["trip_id"], pickup_at=pickup, dropoff_at=dropoff, duration_s=seconds)
    file = home / "data" / "trips.parquet"
    trips = pd.read_parquet(file)
    with trips_writer(file, "a test") as append:
        append(pd.concat([trips, later], ignore_index=True))


def test_the_first_look_trains_the_first_version(first: dict[str, Any]) -> None:
    """It is champion, having nobody to follow."""
    assert (first["opened"], first["reason"]) == (True, "there is no version yet")
    assert (first["candidate"]["version"], first["candidate"]["alias"]) == (1, "champion")


def test_a_second_look_at_the_same_trips_does_nothing(home: Path, first: dict[str, Any]) -> None:
    """Nor does one in a month: the trips are those that it knows."""
    found = retrain(home)
    assert not found["opened"]
    assert found["reason"].startswith("nothing asks for a version")
    found = retrain(home, now=time.time() + 40 * DAY_S, dry_run=True)
    assert "0.0 days of trips that it has not learned from, 7 needed" in found["reason"]


def test_a_slower_city_opens_a_candidate_at_the_second_look(
    home: Path, first: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, with the reason in its run; the champion stays who it was."""
    slow_fortnight(home, tmp_path / "apart")
    week = time.time() + 8 * DAY_S
    assert cli.main(["retrain", "--dry-run", "--json", "--home", str(home)]) == 0
    looked = json.loads(capsys.readouterr().out)
    assert (looked["opened"], looked["would_open"]) == (False, False)
    assert {"duration_min", "speed_kmh"} <= set(looked["moved"])
    assert looked["look"]["error"] > 1.1
    assert not retrain(home, now=week, params=SMALL)["opened"]
    found = retrain(home, now=week + DAY_S, params=SMALL)
    assert found["opened"]
    assert found["reason"].startswith("the error is 1.")
    assert (found["candidate"]["version"], found["candidate"]["alias"]) == (2, "candidate")
    assert found["candidate"]["comparison"] == "held against eta@1"
    run = MlflowClient(Layout(home).mlflow_uri).get_run(found["candidate"]["run"])
    assert run.data.tags["because"] == f"retraining policy: {found['reason']}"
    again = retrain(home, now=week + 2 * DAY_S, params=SMALL)
    assert not again["opened"]
    assert again["reason"].endswith("; but a candidate was opened 1.0 days ago, 7 are between two")


def test_two_do_not_look_at_once(home: Path, first: dict[str, Any]) -> None:
    """The second says so and leaves."""
    with Layout(home).retraining.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another `tandem retrain` is at work"):
            retrain(home)


@pytest.mark.parametrize(
    ("text", "words"),
    [("evry_days: 3", "evry_days"), ("confirm: 0", "confirm: 0 is not above 0"), ("confirm: [", "policy.yaml")],
)
def test_a_policy_that_can_not_be_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Before anything is looked at."""
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=words):
        retrain(tmp_path, policy_file=file)
    with pytest.raises(NotFound, match="nowhere"):
        retrain(tmp_path, policy_file=tmp_path / "nowhere.yaml")


def test_a_memory_that_can_not_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    """Or a damaged file would open a candidate at every look."""
    (tmp_path / "retraining.json").write_text("{")
    with pytest.raises(InvalidInput, match="delete it to begin anew"):
        retrain(tmp_path)
