"""What the verbs and the controller of one home stand on: the state database, the registry, the artifacts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from adapters.artifact_store import Artifact, ArtifactStore
from adapters.ledger import Ledger
from adapters.state import State
from model_registry.published import Published
from model_registry.store import ModelStore
from pipelines.layout import Layout
from serving.settings import Settings


def published(settings: Settings) -> Published:
    """The registry's alias and the artifacts of a home."""
    layout = Layout(settings.home)

    def open_store() -> ModelStore:
        return ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)

    return Published(open_store, ArtifactStore(settings.artifacts), _load)


def _load(artifact: Artifact) -> object:
    """The very check that a replica makes."""
    from serving.artifacts import load_artifact  # noqa: PLC0415 - who starts no rollout needs no model

    return load_artifact(artifact)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[tuple[Ledger, State]]:
    """The state database; route tables come first, since they keep the file its owner's only."""
    state = State(settings.state)
    try:
        ledger = Ledger(settings.state)
        try:
            yield ledger, state
        finally:
            ledger.close()
    finally:
        state.close()
