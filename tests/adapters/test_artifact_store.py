"""Artifacts are read verified and published whole."""

from __future__ import annotations

import errno
from pathlib import Path

import msgspec
import pytest

from adapters.artifact_store import Artifact, ArtifactStore, read_artifact
from contracts.errors import ArtifactInvalid, NotFound, Unavailable
from contracts.manifest import MANIFEST_FILE, Lineage, ModelManifest, Parity, sha256

FILES = {"eta.onnx": b"trees", "golden.parquet": b"rows"}


def manifest(version: int = 1, files: dict[str, bytes] = FILES, model: str = "eta") -> ModelManifest:
    """A manifest that fits the files."""
    return ModelManifest(
        model=model,
        version=version,
        use_case="eta",
        schema_name="eta",
        schema_hash="0" * 64,
        feature_names=("a",),
        inputs={"features": "float32[-1,1]"},
        outputs={"eta_s": "float32[-1,1]"},
        metrics={"mae_s": 1.0},
        parity=Parity(rows=1, max_abs_diff_s=0.0, branch_flips=0),
        lineage=Lineage("abc", {}, "run", "2026-01-01T00:00:00Z", ("2025-01-01", "2025-12-31")),
        files={name: sha256(content) for name, content in files.items()},
    )


def test_published_is_what_is_read(tmp_path: Path) -> None:
    """A version comes back with the same manifest and bytes, and is listed."""
    store = ArtifactStore(tmp_path / "artifacts")
    assert store.versions("eta") == []
    for version in (2, 10, 1):
        store.publish(Artifact(manifest(version), FILES))
    assert store.versions("eta") == [1, 2, 10]
    assert store.read("eta", 10) == Artifact(manifest(10), FILES)
    assert store.path("eta", 2).name == "eta@2"


def test_publishing_again_changes_nothing_and_other_content_is_refused(tmp_path: Path) -> None:
    """A version never changes; nothing half-written stays behind."""
    store = ArtifactStore(tmp_path)
    store.publish(Artifact(manifest(), FILES))
    store.publish(Artifact(manifest(), FILES))
    other = {**FILES, "eta.onnx": b"other trees"}
    with pytest.raises(ArtifactInvalid, match="eta@1 refused by the version check"):
        store.publish(Artifact(manifest(files=other), other))
    assert [path.name for path in tmp_path.iterdir()] == ["eta@1"]
    assert store.read("eta", 1).files == FILES


@pytest.mark.parametrize("name", ["eta.onnx", "golden.parquet"])
def test_a_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    """The error names the file and both hashes."""
    path = ArtifactStore(tmp_path).publish(Artifact(manifest(), FILES))
    content = bytearray((path / name).read_bytes())
    content[0] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(ArtifactInvalid, match=f"hash check: {name} has {sha256(content)}"):
        read_artifact(path)


def test_missing_files_and_manifests_are_found(tmp_path: Path) -> None:
    """An artifact whose manifest has not been written yet is none."""
    path = ArtifactStore(tmp_path).publish(Artifact(manifest(), FILES))
    (path / "eta.onnx").unlink()
    with pytest.raises(ArtifactInvalid, match=r"file check: eta\.onnx: No such file"):
        read_artifact(path)
    (path / MANIFEST_FILE).unlink()
    with pytest.raises(ArtifactInvalid, match=r"manifest\.json"):
        read_artifact(path)


def test_a_disk_that_fails_is_no_tampering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may answer again, and nothing is known of the content meanwhile."""
    path = ArtifactStore(tmp_path).publish(Artifact(manifest(), FILES))

    def failing(_path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(Unavailable, match=r"artifact store unavailable.*Input/output error"):
        read_artifact(path)


def test_a_tampered_manifest_is_refused(tmp_path: Path) -> None:
    """Unknown fields, paths that lead elsewhere, names that are no names, another version's manifest."""
    store = ArtifactStore(tmp_path)
    path = store.publish(Artifact(manifest(), FILES))
    raw = msgspec.json.decode((path / MANIFEST_FILE).read_bytes())
    for change in ({"note": 1}, {"files": {"../x": "0"}}, {"files": {"/x": "0"}}, {"model": "../eta"}, {"version": 0}):
        (path / MANIFEST_FILE).write_bytes(msgspec.json.encode(raw | change))
        with pytest.raises(ArtifactInvalid, match="manifest check"):
            read_artifact(path)
    (path / MANIFEST_FILE).write_bytes(manifest(2).encode())
    with pytest.raises(ArtifactInvalid, match="it is the one of eta@2"):
        store.read("eta", 1)


def test_unknown_versions_are_named_with_those_there_are(tmp_path: Path) -> None:
    """A model's name is no path."""
    store = ArtifactStore(tmp_path)
    store.publish(Artifact(manifest(3), FILES))
    with pytest.raises(NotFound, match="'eta@4' not found; published: eta@3"):
        store.path("eta", 4)
    with pytest.raises(NotFound):
        store.path("../eta", 3)
