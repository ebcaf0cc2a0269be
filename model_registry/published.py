"""The registry's alias and the published artifacts, as the controller sees them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from adapters.artifact_store import Artifact, ArtifactStore
from contracts.manifest import sha256
from model_registry.store import CHAMPION, ModelStore


class Published:
    """A `Registry` over MLflow's aliases and the artifact store.

    The registry is opened when it is first asked: MLflow takes seconds and 200 MB, and a rollback's route table is
    written before any alias. `check` raises ArtifactInvalid for what a replica refuses.
    """

    def __init__(
        self, open_store: Callable[[], ModelStore], artifacts: ArtifactStore, check: Callable[[Artifact], object]
    ) -> None:
        self._open, self._artifacts, self._check = open_store, artifacts, check

    def champion(self, model: str) -> int | None:
        """The version that the alias `champion` names."""
        return self._store.aliases(model).get(CHAMPION)

    def set_champion(self, model: str, version: int) -> None:
        """Move the alias."""
        self._store.set_champion(model, version)

    def verify(self, model: str, version: int) -> None:
        """Load a published artifact as a replica does."""
        self._check(self._artifacts.read(model, version))

    def fingerprint(self, model: str, version: int) -> str:
        """SHA-256 over the manifest, which names every file's hash; each file is read and checked against it."""
        return sha256(self._artifacts.read(model, version).manifest.encode())

    @cached_property
    def _store(self) -> ModelStore:
        return self._open()
