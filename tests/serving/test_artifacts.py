"""What a version must pass before it serves; each refusal names its check."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.artifact_store import ETA_FILE, GOLDEN_FILE, ZONES_FILE, Artifact
from contracts.errors import ArtifactInvalid
from contracts.schema import Feature, FeatureSchema
from serving.artifacts import load_artifact
from tests.fakes import SCHEMA, constant_onnx, tiny_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A good one."""
    return tiny_artifact(tmp_path)


def refusal(artifact: Artifact, schema: FeatureSchema = SCHEMA) -> str:
    """The check that refuses it."""
    with pytest.raises(ArtifactInvalid) as caught:
        load_artifact(artifact, schema=schema)
    assert "eta@1" in str(caught.value) or caught.value.check in ("load", "tensors")
    return caught.value.check


def with_file(artifact: Artifact, name: str, content: bytes) -> Artifact:
    """The same with another file."""
    return Artifact(artifact.manifest, {**artifact.files, name: content})


def test_a_good_one_loads(artifact: Artifact) -> None:
    """It brings all that answering needs."""
    model = load_artifact(artifact, schema=SCHEMA)
    assert (model.name, model.zones.ids) == ("eta@1", ("1", "2", "3"))


def test_another_schema(artifact: Artifact) -> None:
    """A model for other features does not serve here, even where there are as many."""
    other = FeatureSchema("tiny", (Feature("distance_km", 0, 1e6), *SCHEMA.features[1:]))
    assert refusal(artifact, other) == "schema"
    swapped = tuple(reversed(artifact.manifest.feature_names))
    assert refusal(Artifact(replace(artifact.manifest, feature_names=swapped), artifact.files)) == "schema"


def test_golden_rows_that_do_not_come_back(artifact: Artifact, tmp_path: Path) -> None:
    """A model that answers otherwise than when it was made is refused, by how much it says."""
    assert refusal(with_file(artifact, ETA_FILE, constant_onnx(3, 500.0))) == "golden rows"
    assert refusal(tiny_artifact(tmp_path / "x", nudge_s=0.2)) == "golden rows"


def test_files_that_are_not_what_they_should_be(artifact: Artifact) -> None:
    """A broken model, broken zones, broken golden rows, and a file that is not there."""
    assert refusal(with_file(artifact, ETA_FILE, b"not onnx")) == "load"
    assert refusal(with_file(artifact, ETA_FILE, constant_onnx(4, 500.0))) == "tensors"
    assert refusal(with_file(artifact, ZONES_FILE, b"PAR1")) == "content"
    assert refusal(with_file(artifact, GOLDEN_FILE, artifact.files[ZONES_FILE])) == "content"
    files = {name: content for name, content in artifact.files.items() if name != GOLDEN_FILE}
    assert refusal(Artifact(artifact.manifest, files)) == "file"
