"""The registry's alias and the published artifacts, as the controller sees them."""

from __future__ import annotations

from adapters.artifact_store import ArtifactStore
from contracts.manifest import sha256
from model_registry.store import CHAMPION, ModelStore


class Published:
    """A `Registry` over MLflow's aliases and the artifact store."""

    def __init__(self, store: ModelStore, artifacts: ArtifactStore) -> None:
        self._store, self._artifacts = store, artifacts

    def champion(self, model: str) -> int | None:
        """The version that the alias `champion` names."""
        return self._store.aliases(model).get(CHAMPION)

    def set_champion(self, model: str, version: int) -> None:
        """Move the alias."""
        self._store.set_champion(model, version)

    def fingerprint(self, model: str, version: int) -> str:
        """SHA-256 over the manifest, which names every file's hash; each file is read and checked against it."""
        return sha256(self._artifacts.read(model, version).manifest.encode())
