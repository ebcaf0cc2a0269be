"""Requests and answers in each tool's form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adapters.artifact_store import ArtifactStore, read_artifact
from bench.stand_in import stand_in
from bench.vectors import items, pool
from bench.wire import EtaTrips, NamedRows, OpenInference
from serving.artifacts import load_artifact


def test_open_inference_flattens_vectors_and_reads_its_tensor() -> None:
    """Two vectors of three entries are one FP32 tensor [2, 3]."""
    (tensor,) = json.loads(OpenInference().body([[1, 2, 3], [4, 5, 6]]))["inputs"]
    assert (tensor["shape"], tensor["data"]) == ([2, 3], [1, 2, 3, 4, 5, 6])
    answer = {"outputs": [{"name": "low_s", "data": [1, 2]}, {"name": "eta_s", "data": [3, 4]}]}
    assert OpenInference().etas(json.dumps(answer).encode()) == [3.0, 4.0]


def test_named_rows_read_flat_and_nested_answers() -> None:
    """The estimate is the first column where an answer has several."""
    assert json.loads(NamedRows(name="inputs").body([[1.5]])) == {"inputs": [[1.5]]}
    assert NamedRows(answer=("predictions", "eta_s")).etas(b'{"predictions": {"eta_s": [[7], [8]]}}') == [7.0, 8.0]
    assert NamedRows(answer=()).etas(b"[[7, 5, 9]]") == [7.0]


def test_a_fallback_is_not_an_answer_of_the_model() -> None:
    """Table B compares models; a heuristic's estimate must stop the row."""
    with pytest.raises(ValueError, match="1 of 1 etas are fallbacks, the first for 'features_timeout'"):
        EtaTrips().etas(b'{"etas": [{"eta_s": 1, "source": "fallback", "reason": "features_timeout"}]}')


def test_numbers_on_the_wire_are_the_same_float32() -> None:
    """Shortest decimals lose nothing, so equal answers can be asked for."""
    vectors = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    read = np.array(json.loads(json.dumps(items(vectors))), dtype=np.float32)
    assert np.array_equal(read, vectors)


def test_open_inference_vectors_are_plausible_and_distinct(tmp_path: Path) -> None:
    """The made-up artifact passes the replica's own check, and feeds 10,000 distinct finite vectors."""
    artifact = stand_in(ArtifactStore(tmp_path / "artifacts"), tmp_path / "scratch")
    loaded = load_artifact(read_artifact(artifact))
    vectors = pool(artifact, 10_000)
    assert vectors.shape == (10_000, loaded.onnx.width)
    assert np.isfinite(vectors).all()
    eta_s, low_s, high_s = loaded.onnx.run(vectors)
    assert ((low_s <= eta_s) & (eta_s <= high_s)).all()
    assert len(np.unique(eta_s)) > 1000
