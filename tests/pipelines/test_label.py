"""Labels in bulk: the same rows whatever happens to the process, and refusals that say what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from adapters.label_parts import JOURNAL, LINEAGE, PLAN
from contracts.errors import ArtifactInvalid, DataRefused, InvalidInput, NotFound, SchemaMismatch
from contracts.manifest import decode_manifest
from contracts.teacher import TEACHER_FILE
from pipelines.label import label
from pipelines.label_table import LINEAGE_KEY
from pipelines.layout import Layout
from pipelines.train import train
from tests.pipelines.test_train import TINY, small_town

ROOT = Path(__file__).parents[2]
PART = 150


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a version whose teachers may label."""
    home = small_town(tmp_path_factory.mktemp("labels"))
    train(home, params=TINY)
    return home


@pytest.fixture(scope="module")
def requests(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trips as recorded, some with wrong records, requests that never became trips, and some of the last minutes."""
    trips = pd.read_parquet(Layout(home).trips)
    frame = trips[["trip_id", "pickup_at", "pickup_zone", "dropoff_zone", "duration_s"]].rename(
        columns={"trip_id": "id", "pickup_at": "at"}
    )
    rng = np.random.default_rng(5)
    frame.loc[:99, "duration_s"] *= 8.0
    frame.loc[100:109, "duration_s"] = 3.0
    frame.loc[200:299, "duration_s"] = np.nan
    path = tmp_path_factory.mktemp("requests") / "requests.parquet"
    frame.iloc[rng.permutation(len(frame))].to_parquet(path, row_group_size=1234)
    return path


@pytest.fixture(scope="module")
def undisturbed(home: Path, requests: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One run from beginning to end."""
    out = tmp_path_factory.mktemp("out")
    return label(home, requests, out, part_rows=PART), out


def content(out: Path) -> dict[str, bytes]:
    """Parts by name."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*.parquet"))}


def kill_half_way(home: Path, requests: Path, out: Path) -> bool:
    """Label in another process and kill it after a few parts; False where it was done before it could be killed."""
    words = ["--home", str(home), "--requests", str(requests), "--out", str(out), "--part-rows", str(PART)]
    command = [sys.executable, "-m", "pipelines.cli", "label", "--json", *words]
    environment, journal = {**os.environ, "PYTHONPATH": str(ROOT)}, out / JOURNAL
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if journal.is_file() and len(journal.read_text().splitlines()) >= 4:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    return not (out / LINEAGE).exists()


def test_every_request_gets_one_label_with_its_lineage(
    home: Path, requests: Path, undisturbed: tuple[dict[str, Any], Path]
) -> None:
    """In the requests' order; with the teacher, the data's hashes and the snapshots' times."""
    result, out = undisturbed
    asked, found = pd.read_parquet(requests), pd.concat([pd.read_parquet(p) for p in sorted(out.glob("part-*"))])
    assert found["id"].tolist() == asked["id"].tolist()
    assert result["rows"] == len(asked)
    assert sum(result["labels"].values()) == len(asked)
    assert result["labels"]["backfill"] == 100
    assert result["quarantined"]["recorded time outside 1 to 120 min"] >= 10
    wrong = found["id"].isin([f"t{i:06d}" for i in range(100)])
    assert (found.loc[wrong, "doubt"] > 0.5).mean() > 0.9
    assert (found.loc[~wrong & (found["source"] == "record"), "label_s"] > 0).all()
    lineage = json.loads(pq.read_schema(out / "part-000003.parquet").metadata[LINEAGE_KEY.encode()])
    assert lineage["teacher"] == "eta@1/teacher"
    assert set(lineage["data"]) == {"trips.parquet", "zones.parquet"}
    assert lineage["features_from"] < lineage["features_to"]
    known = found["features_at"].notna()  # the very first trips come before all history
    assert known.mean() > 0.9
    assert (found["features_at"] <= found["at"])[known].all()
    whole = json.loads((out / LINEAGE).read_text())
    assert set(whole["parts"]) == set(content(out))


def test_what_can_still_change_is_not_learned_from(undisturbed: tuple[dict[str, Any], Path], home: Path) -> None:
    """Requests of the last two hours wait, whether or not they have ended; the teacher's word is there all the same."""
    _, out = undisturbed
    found = pd.concat([pd.read_parquet(path) for path in out.glob("part-*")])
    end = pd.read_parquet(Layout(home).trips)["dropoff_at"].max()
    young = found["at"] > end - pd.Timedelta(2, unit="h")
    assert young.any()
    assert (found["source"] == "waiting").equals(young)
    assert found.loc[young, "label_s"].isna().all()
    assert found["teacher_s"].notna().all()


def test_killed_half_way_and_resumed_equals_undisturbed(
    home: Path, requests: Path, undisturbed: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    """SIGKILL at any moment: no row twice, none missing, the same bytes."""
    out = next(out for out in (tmp_path / f"killed{i}" for i in range(5)) if kill_half_way(home, requests, out))
    assert not (out / LINEAGE).exists()
    survived = len(content(out))
    assert survived < len(content(undisturbed[1]))
    result = label(home, requests, out, part_rows=PART)
    assert result["parts_resumed"] >= 3
    assert content(out) == content(undisturbed[1])
    assert label(home, requests, out, part_rows=PART)["parts_resumed"] == result["parts"]


def test_torn_and_damaged_parts_are_done_again(
    home: Path, requests: Path, undisturbed: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    """Half a line in the journal, a part without one, a part that is not what its hash says."""
    out = tmp_path / "torn"
    label(home, requests, out, part_rows=PART)
    (out / LINEAGE).unlink()
    lines = (out / JOURNAL).read_text().splitlines()
    (out / JOURNAL).write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    (out / "part-000002.parquet").write_bytes(b"junk")
    result = label(home, requests, out, part_rows=PART, workers=1)
    assert result["parts_resumed"] == result["parts"] - 2
    assert content(out) == content(undisturbed[1])


def test_labels_of_different_plans_are_not_mixed(
    home: Path, requests: Path, undisturbed: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    """Another size of parts, other requests, or a folder that holds something else: refused with both values."""
    with pytest.raises(DataRefused, match="part_rows 150, asked for 600"):
        label(home, requests, undisturbed[1], part_rows=600)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    with pytest.raises(DataRefused, match=f"holds 'mine.txt' and no {PLAN}"):
        label(home, requests, tmp_path / "letters")
    with pytest.raises(InvalidInput, match="engine: 'spark', expected one of threads, ray"):
        label(home, requests, tmp_path / "none", engine="spark")
    with pytest.raises(InvalidInput, match="part_rows: 0"):
        label(home, requests, tmp_path / "none", part_rows=0)


def test_what_requests_lack_is_named(home: Path, requests: Path, tmp_path: Path) -> None:
    """A column, an offset, a value, a zone."""
    asked = pd.read_parquet(requests).head(20)
    cases: list[tuple[pd.DataFrame, type[Exception], str]] = [
        (asked.drop(columns="at"), SchemaMismatch, "no at or pickup_at"),
        (asked.assign(at=asked["at"].dt.tz_localize(None)), SchemaMismatch, "times with an offset"),
        (asked.assign(pickup_zone=[*asked["pickup_zone"][:-1], None]), DataRefused, "row 20: no pickup_zone"),
        (asked.assign(dropoff_zone="999"), NotFound, "zone '999' not found"),
        (asked.head(0), DataRefused, "has no rows"),
    ]
    for number, (frame, error, words) in enumerate(cases):
        path = tmp_path / f"{number}.parquet"
        frame.to_parquet(path)
        with pytest.raises(error, match=words):
            label(home, path, tmp_path / f"out{number}")


def test_the_teachers_can_not_be_taken_for_a_version(home: Path, requests: Path, tmp_path: Path) -> None:
    """They lie apart from the artifact, in files of another kind; and a changed one is refused."""
    artifact = next(home.glob("mlartifacts/**/artifact"))
    assert not [path for path in artifact.iterdir() if path.name.startswith(("fold", "teacher"))]
    (manifest,) = home.glob(f"mlartifacts/**/{TEACHER_FILE}")
    with pytest.raises(ArtifactInvalid, match="manifest"):
        decode_manifest(manifest.read_bytes(), "eta@1")
    fold = manifest.parent / "fold-0.txt"
    before = fold.read_text()
    try:
        fold.write_text(before + " ")
        with pytest.raises(ArtifactInvalid, match=r"hash check: fold-0\.txt"):
            label(home, requests, tmp_path / "out")
    finally:
        fold.write_text(before)
    with pytest.raises(NotFound, match="eta@9"):
        label(home, requests, tmp_path / "out", version=9)


@pytest.mark.e2e
def test_ray_data_gives_the_same_bytes(
    home: Path, requests: Path, undisturbed: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    """Half by threads, the rest by Ray Data: an engine leaves no trace in the labels."""
    out = tmp_path / "ray"
    label(home, requests, out, part_rows=PART)
    (out / LINEAGE).unlink()
    lines = (out / JOURNAL).read_text().splitlines(keepends=True)
    (out / JOURNAL).write_text("".join(lines[:5]))
    result = label(home, requests, out, part_rows=PART, engine="ray", workers=1)
    assert result["parts_resumed"] == 5
    assert content(out) == content(undisturbed[1])
