"""What the controller sees of a published artifact."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from adapters.artifact_store import Artifact, ArtifactStore
from contracts.errors import ArtifactInvalid, NotFound
from contracts.manifest import MANIFEST_FILE
from model_registry.published import Published
from tests.adapters.test_artifact_store import FILES, manifest


def unopened() -> NoReturn:
    """A registry that nobody may need."""
    raise AssertionError("a fingerprint needs no registry")


def test_a_fingerprint_covers_manifest_and_files(tmp_path: Path) -> None:
    """The same as long as nothing changed; a changed manifest is another, a changed file is refused."""
    artifacts = ArtifactStore(tmp_path)
    seen: list[str] = []
    published = Published(unopened, artifacts, lambda artifact: seen.append(artifact.manifest.name))
    with pytest.raises(NotFound):
        published.fingerprint("eta", 2)
    directory = artifacts.publish(Artifact(manifest(2), FILES))
    before = published.fingerprint("eta", 2)
    assert published.fingerprint("eta", 2) == before
    raw = (directory / MANIFEST_FILE).read_text()
    (directory / MANIFEST_FILE).write_text(raw.replace('"mae_s": 1.0', '"mae_s": 0.5'))
    assert published.fingerprint("eta", 2) != before
    published.verify("eta", 2)
    assert seen == ["eta@2"]
    (directory / "eta.onnx").write_bytes(b"other trees")
    with pytest.raises(ArtifactInvalid, match="hash check"):
        published.fingerprint("eta", 2)
