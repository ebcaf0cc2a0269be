"""`mlflow models serve` with the ONNX flavour."""

from __future__ import annotations

import subprocess

from bench.rows.protocol import APPS, Row, Site
from bench.wire import NamedRows


def prepare(site: Site) -> None:
    """Wrap the model as an MLflow model, once; in a process of its own, since importing MLflow is heavy."""
    if not (site.scratch / "mlflow").exists():
        script = [
            str(site.bin / "python"),
            str(APPS / "mlflow_model.py"),
            str(site.model),
            str(site.scratch / "mlflow"),
        ]
        subprocess.run(script, check=True, capture_output=True)


def command(site: Site) -> list[str]:
    """The command of the documentation, in the environment that stands."""
    where = ["-m", str(site.scratch / "mlflow"), "-h", site.host, "-p", str(site.port)]
    return [str(site.bin / "mlflow"), "models", "serve", *where, "--env-manager", "local", "--workers", "1"]


ROW = Row(
    name="mlflow models serve",
    table="A",
    wire=NamedRows("/invocations", name="inputs", answer=("predictions", "eta_s")),
    command=command,
    packages=("mlflow",),
    settings="ONNX flavour, CPU provider, one worker, local environment",
    source="MLflow, MLflow Model Serving: Quick Start; mlflow CLI: models serve",
    prepare=prepare,
)
