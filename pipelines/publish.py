"""From the registry into the artifact store, through the very check that a replica makes before it serves."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from adapters.artifact_store import ArtifactStore, read_artifact
from contracts.errors import ArtifactInvalid
from model_registry.store import ModelStore
from pipelines.layout import MODEL, Layout
from serving.artifacts import load_artifact


def publish(home: Path, version: int) -> dict[str, Any]:
    """Verify a registered version and put it into the artifact store; doing so again changes nothing.

    Raises NotFound for a version that is not registered, ArtifactInvalid for one that must not serve.
    """
    layout = Layout(home)
    registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
    with tempfile.TemporaryDirectory() as folder:
        artifact = read_artifact(registry.fetch(MODEL, version, Path(folder)))
    manifest = artifact.manifest
    if manifest.name != f"{MODEL}@{version}":
        raise ArtifactInvalid(f"{MODEL}@{version}", "manifest", f"it is the one of {manifest.name}")
    load_artifact(artifact)
    path = ArtifactStore(layout.artifacts).publish(artifact)
    return {
        "model": manifest.name,
        "path": str(path),
        "bytes": {name: len(content) for name, content in artifact.files.items()},
        "schema_hash": manifest.schema_hash,
        "parity": {"rows": manifest.parity.rows, "branch_flips": manifest.parity.branch_flips},
        "mae_s": manifest.metrics["student.mae_s"],
    }
