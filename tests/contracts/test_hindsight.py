"""A teacher that knows what came after the request can not be made into something that is served."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.artifact_store import Artifact, ArtifactStore, read_artifact
from contracts.errors import ArtifactInvalid
from contracts.features import ETA_SCHEMA
from contracts.hindsight import AFTERWARDS, TEACHER_SCHEMA
from contracts.manifest import MANIFEST_FILE, Lineage, ModelManifest, Parity, decode_manifest
from contracts.schema import AFTER, Feature, hindsight
from contracts.teacher import TEACHER_FILE, TeacherManifest, decode_teacher
from serving.artifacts import load_artifact
from tests.fakes import SCHEMA, tiny_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """One that may serve."""
    return tiny_artifact(tmp_path / "good")


def teacher() -> TeacherManifest:
    """Of two folds."""
    return TeacherManifest(
        model="eta",
        version=7,
        schema_name=TEACHER_SCHEMA.name,
        schema_hash=TEACHER_SCHEMA.schema_hash(),
        feature_names=TEACHER_SCHEMA.names,
        lineage=Lineage("abc", {}, "run", "2026-01-01T00:00:00Z", ("2025-01-01", "2025-12-31")),
        folds=("fold-0.txt", "fold-1.txt"),
        files={"fold-0.txt": "0" * 64, "fold-1.txt": "1" * 64},
    )


def test_the_names_tell_what_is_known_when() -> None:
    """Nothing that is served asks for the future; all that teachers have on top does, and says so."""
    assert hindsight(ETA_SCHEMA.names) == ()
    assert hindsight(TEACHER_SCHEMA.names) == tuple(one.name for one in AFTERWARDS)
    assert TEACHER_SCHEMA.names[: len(ETA_SCHEMA.names)] == ETA_SCHEMA.names
    assert TEACHER_SCHEMA.schema_hash() != ETA_SCHEMA.schema_hash()


@given(st.sampled_from(AFTERWARDS), st.integers(0, 3))
def test_no_manifest_can_be_made_for_such_a_model(feature: Feature, at: int) -> None:
    """Neither made, nor changed into one, nor read from bytes; registering, publishing and serving all need one."""
    name, sound = feature.name, _sound()
    fields = {field: getattr(sound, field) for field in sound.__struct_fields__}
    names = (*sound.feature_names[:at], name, *sound.feature_names[at:])
    with pytest.raises(ArtifactInvalid, match=f"hindsight check: it reads '{name}'"):
        ModelManifest(**{**fields, "feature_names": names})
    with pytest.raises(ArtifactInvalid, match="hindsight check"):
        msgspec.structs.replace(sound, feature_names=names)
    raw = msgspec.json.decode(sound.encode())
    raw["feature_names"] = list(names)
    with pytest.raises(ArtifactInvalid, match="hindsight check"):
        decode_manifest(msgspec.json.encode(raw), "eta@1")


def _sound() -> ModelManifest:
    return ModelManifest(
        model="eta",
        version=1,
        use_case="eta",
        schema_name="eta",
        schema_hash="0" * 64,
        feature_names=("a", "b", "c"),
        inputs={},
        outputs={},
        metrics={},
        parity=Parity(rows=1, max_abs_diff_s=0.0, branch_flips=0),
        lineage=teacher().lineage,
        files={},
    )


def test_a_store_that_was_written_by_hand_is_not_served(artifact: Artifact, tmp_path: Path) -> None:
    """A published directory whose manifest was edited to name a feature of the future is refused when it is read."""
    path = ArtifactStore(tmp_path / "artifacts").publish(artifact)
    manifest = path / MANIFEST_FILE
    manifest.write_text(manifest.read_text().replace(f'"{SCHEMA.names[0]}"', f'"{AFTER}city_count_15m"'))
    with pytest.raises(ArtifactInvalid, match="hindsight check"):
        ArtifactStore(tmp_path / "artifacts").read("eta", 1)


def test_serving_by_the_teachers_schema_is_refused(artifact: Artifact) -> None:
    """Even where somebody tells serving that the teacher's vector is its own."""
    with pytest.raises(ArtifactInvalid, match="schema check"):
        load_artifact(artifact, schema=TEACHER_SCHEMA)


def test_the_teachers_folder_is_no_artifact(tmp_path: Path) -> None:
    """Their manifest has another name and another shape; renamed, it is refused for the shape."""
    folder = tmp_path / "eta@7"
    folder.mkdir()
    (folder / TEACHER_FILE).write_bytes(teacher().encode())
    with pytest.raises(ArtifactInvalid, match="file check"):
        read_artifact(folder)
    (folder / TEACHER_FILE).rename(folder / MANIFEST_FILE)
    with pytest.raises(ArtifactInvalid, match="manifest check"):
        read_artifact(folder)


def test_a_teachers_manifest_comes_back_and_bad_ones_are_refused() -> None:
    """And none can say of itself that it may serve."""
    assert decode_teacher(teacher().encode(), "x") == teacher()
    for change in ({"offline_only": False}, {"folds": ()}, {"folds": ("fold-9.txt",)}):
        with pytest.raises(ArtifactInvalid, match="teacher manifest check"):
            decode_teacher(msgspec.structs.replace(teacher(), **change).encode(), "x")
    with pytest.raises(ArtifactInvalid, match="teacher manifest check"):
        decode_teacher(_sound().encode(), "x")
