"""MLServer, with a custom runtime since it ships none for ONNX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

from bench.ports import free_port
from bench.rows.protocol import APPS, Row, Site
from bench.wire import OpenInference


def prepare(site: Site) -> None:
    """Lay out the model folder: runtime, model settings, server settings."""
    folder = site.scratch / "mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(APPS / "mlserver_app.py", folder / "mlserver_app.py")
    model = {"name": "eta", "implementation": "mlserver_app.OnnxRuntime", "parameters": {"uri": str(site.model)}}
    server = {"host": site.host, "http_port": site.port, "grpc_port": free_port(), "metrics_port": free_port()}
    server |= {"debug": False, "parallel_workers": 0, "use_structured_logging": False}
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(server), encoding="utf-8")


def command(site: Site) -> list[str]:
    """Start the folder that `prepare` laid out."""
    return [str(site.bin / "mlserver"), "start", str(site.scratch / "mlserver")]


def variables(site: Site) -> Mapping[str, str]:
    """Prometheus' multi-process files belong to this run."""
    return {"MLSERVER_METRICS_DIR": str(site.scratch / "mlserver")}


ROW = Row(
    name="MLServer",
    table="A",
    wire=OpenInference(),
    command=command,
    packages=("mlserver",),
    settings="custom ONNX runtime, debug off, inference in the server's process (parallel_workers 0: no hop)",
    source="MLServer, User Guide: Custom Inference Runtimes, Parallel Inference; Reference: MLServer Settings",
    peer="mlserver",
    prepare=prepare,
    variables=variables,
)
