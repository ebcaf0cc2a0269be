"""A home with versions published and registered, and a route table: what a rollout begins from."""

from __future__ import annotations

from pathlib import Path

from adapters.artifact_store import ArtifactStore
from adapters.state import State
from contracts.features import ETA_SCHEMA
from contracts.routes import RouteTable
from model_registry.store import ModelStore
from pipelines.layout import MODEL, Layout
from serving.settings import Settings
from tests.fakes import constant_onnx, tiny_artifact

POLICY = """
model: eta
interval: 1s
steps:
  - shadow: {percent: 100, for: 2s, min_samples: 1}
  - canary: {weight: 25, for: 2s, min_samples: 1}
  - canary: {weight: 50, for: 2s, min_samples: 1}
guardrails:
  - {metric: error_rate, max: 0.5, for: 2s, min_samples: 10}
progress_deadline: 1h
"""


def rollout_home(home: Path, *, versions: int = 2) -> Settings:
    """Versions 1 (the champion) to `versions`, each a model that always says 600 s plus its number."""
    layout, settings = Layout(home), Settings(home=home)
    registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
    artifacts = ArtifactStore(layout.artifacts)
    for version in range(1, versions + 1):
        model = constant_onnx(len(ETA_SCHEMA.features), 600.0 + version)
        artifacts.publish(tiny_artifact(home / f"made-{version}", version=version, schema=ETA_SCHEMA, model=model))
        registry.register(MODEL, f"{layout.mlflow_artifacts}/run-{version}", "0" * 32)
        registry.admit(MODEL, version)
    state = State(settings.state)
    state.put_route_table(RouteTable(MODEL, 1, champion=1))
    state.close()
    return settings
