"""One answered request again: by the version that answered it, by another, and when there is nothing to repeat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.artifact_store import ArtifactStore
from contracts.features import ETA_SCHEMA, LOOKUPS
from contracts.predictions import HASH_CHARACTERS, Prediction, SegmentHead
from contracts.schema import Matrix
from pipelines import cli
from pipelines.compaction import compact
from pipelines.layout import Layout
from serving.artifacts import load_artifact
from serving.prediction_log import PredictionLog
from tests.fakes import constant_onnx, tiny_artifact
from tests.some_predictions import prediction

WIDTH = len(ETA_SCHEMA.features)
HEAD = SegmentHead.of(ETA_SCHEMA, LOOKUPS, "/tandem/test")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two published versions: 1 says 120 s and a quarter of the first feature, 2 always 500 s."""
    store = ArtifactStore(Layout(tmp_path / "home").artifacts)
    for version, model in ((1, None), (2, constant_onnx(WIDTH, 500.0))):
        store.publish(tiny_artifact(tmp_path / str(version), version=version, schema=ETA_SCHEMA, model=model))
    return tmp_path / "home"


def log(home: Path, *records: Prediction, head: SegmentHead = HEAD) -> None:
    """Write records as a replica does."""
    predictions = PredictionLog(Layout(home).predictions, head)
    for record in records:
        predictions.append(record)
    predictions.close()


def answered(home: Path, number: int, *, off_s: float = 0.0, **changes: Any) -> Prediction:
    """What version 1 answered for two trips; `off_s` makes the log wrong."""
    matrix: Matrix = np.full((2, WIDTH), np.nan, dtype=np.float32)
    matrix[:, 0] = 100.0 * number, 333.3
    model = load_artifact(ArtifactStore(Layout(home).artifacts).read("eta", 1))
    answers = np.column_stack(model.onnx.run(matrix)) + np.float32(off_s)
    parts = {"features": matrix.tobytes(), "answers": answers.tobytes(), "ages": bytes(4 * 2 * len(LOOKUPS))}
    schema_hash = ETA_SCHEMA.schema_hash()[:HASH_CHARACTERS]
    return prediction(number, **{**parts, "schema_hash": schema_hash, **changes})


def replay(home: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Exit status and result of the verb."""
    status = cli.main(["replay", *words, "--json", "--home", str(home)])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("compacted", [False, True])
def test_the_same_version_gives_the_same_answer(
    home: Path, capsys: pytest.CaptureFixture[str], *, compacted: bool
) -> None:
    """To the bit, from a segment and from Parquet."""
    log(home, *(answered(home, number) for number in (1, 2, 3)))
    if compacted:
        compact(Layout(home).predictions, keep_bytes=1 << 40)
    status, result = replay(home, "--request", "request-2", capsys=capsys)
    assert (status, result["ok"], result["logged_by"], result["replayed_by"]) == (0, True, "eta@1", "eta@1")
    first = result["trips"][0]
    assert first["logged_eta_s"] == first["replayed_eta_s"] == 170.0
    assert [trip["same"] for trip in result["trips"]] == [True, True]
    assert result["at"] == "2027-01-15T08:00:02.000Z"


def test_another_answer_of_the_same_version_is_a_failure(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond the hundredth that answers are rounded to."""
    log(home, answered(home, 1, off_s=0.004), answered(home, 2, off_s=0.02))
    assert replay(home, "--request", "request-1", capsys=capsys)[0] == 0
    status, result = replay(home, "--request", "request-2", capsys=capsys)
    assert (status, result["ok"], result["trips"][0]["same"]) == (1, False, False)


def test_another_version_may_answer_otherwise(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is what one asks it for."""
    log(home, answered(home, 1))
    status, result = replay(home, "--request", "request-1", "--version", "2", capsys=capsys)
    assert (status, result["replayed_by"], result["trips"][0]["replayed_eta_s"]) == (0, "eta@2", 500.0)
    assert result["trips"][0]["same"] is False


def test_what_the_heuristic_answered_is_not_compared(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One trip of two: the other is."""
    log(home, answered(home, 1, off_s=9.0, fallback=b"\1\1", reason="model_output_invalid"))
    log(home, answered(home, 2, off_s=9.0, fallback=b"\1\0", reason="model_output_invalid"))
    assert replay(home, "--request", "request-1", capsys=capsys)[0] == 0
    status, result = replay(home, "--request", "request-2", capsys=capsys)
    assert [(trip["source"], trip["same"]) for trip in result["trips"]] == [("fallback", None), ("model", False)]
    assert status == 1


def test_a_shadow_is_not_what_was_answered(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though it may stand first in the log."""
    log(home, answered(home, 1, kind="shadow", version=2), answered(home, 1))
    assert replay(home, "--request", "request-1", capsys=capsys)[1]["logged_by"] == "eta@1"


def test_nothing_to_repeat(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each says what is missing, in a sentence and with exit status 1."""
    other = SegmentHead("/tandem/test", "eta", "0" * 64, HEAD.features, HEAD.ages)
    log(home, prediction(1, features=b"", fallback=b"\1\1", reason="features_timeout"), answered(home, 3, version=7))
    log(home, answered(home, 2), head=other)
    words = {
        "request-9": "request 'request-9' not found",
        "request-1": "the heuristic answered (features_timeout); there is nothing to replay",
        "request-2": "of the logged features",
        "request-3": "artifact 'eta@7' not found; published: eta@1, eta@2",
    }
    for request, message in words.items():
        status, result = replay(home, "--request", request, capsys=capsys)
        assert status == 1
        assert message in result["message"]


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A replay of nothing, and of a version that can't be."""
    for words in (["replay"], ["replay", "--request", "x", "--version", "0"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_table_for_people(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Logged beside replayed."""
    log(home, answered(home, 1))
    assert cli.main(["replay", "--request", "request-1", "--home", str(home)]) == 0
    assert "logged_eta_s  replayed_eta_s" in capsys.readouterr().out
