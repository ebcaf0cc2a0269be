"""Runs in MLflow: parameters, metrics, pictures and files of each training. Nothing is global, nothing at import."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Run:
    """One run that is under way."""

    client: Any
    run_id: str
    artifact_uri: str

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log what was chosen."""
        from mlflow.entities import Param  # noqa: PLC0415 - seconds

        self.client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in values.items()])

    def tags(self, values: Mapping[str, str]) -> None:
        """Log where it comes from: hashes, revision."""
        from mlflow.entities import RunTag  # noqa: PLC0415

        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in values.items()])

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log figures."""
        from mlflow.entities import Metric  # noqa: PLC0415

        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, metrics=[Metric(name, value, now, 0) for name, value in values.items()])

    def figure(self, figure: Figure, path: str) -> None:
        """Keep a picture, such as ``plots/slices.png``."""
        self.client.log_figure(self.run_id, figure, path)

    def document(self, document: Mapping[str, Any], path: str) -> None:
        """Keep a JSON document, such as ``slices.json``."""
        self.client.log_dict(self.run_id, dict(document), path)

    def file(self, path: Path, folder: str) -> None:
        """Keep a file under a folder of the run."""
        self.client.log_artifact(self.run_id, str(path), folder)


class Tracking:
    """Runs of one experiment."""

    def __init__(self, uri: str, artifact_root: str, experiment: str) -> None:
        # MLflow phones home unless told otherwise, and reads this when it is imported: seconds, hence not above.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient  # noqa: PLC0415

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        # Its own use of SQLAlchemy, which nobody here can mend.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy", module="mlflow")
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        self._experiment: str = (
            found.experiment_id
            if found
            else self._client.create_experiment(experiment, artifact_location=f"{artifact_root}/{experiment}")
        )

    @contextmanager
    def run(self, name: str) -> Iterator[Run]:
        """Open a run; it ends as FINISHED, or as FAILED where the block raises."""
        run = self._client.create_run(self._experiment, run_name=name)
        status = "FAILED"
        try:
            yield Run(self._client, run.info.run_id, run.info.artifact_uri)
            status = "FINISHED"
        finally:
            self._client.set_terminated(run.info.run_id, status)
