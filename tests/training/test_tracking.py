"""A run keeps what it is given and says how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from training.tracking import Tracking


def test_a_run_keeps_parameters_metrics_pictures_and_files(tmp_path: Path) -> None:
    """All of it is found by MLflow's own client; a block that raises leaves a FAILED run."""
    uri, root = f"sqlite:///{tmp_path / 'mlflow.db'}", (tmp_path / "mlartifacts").as_uri()
    (tmp_path / "eta.onnx").write_bytes(b"trees")
    with Tracking(uri, root, "eta").run("first") as run:
        run.parameters({"student.rounds": 3})
        run.metrics({"student.mae_s": 200.0})
        run.tags({"tandem.git_revision": "abc"})
        run.document({"hour": {}}, "slices.json")
        run.figure(Figure(), "plots/empty.png")
        run.file(tmp_path / "eta.onnx", "artifact")
    with pytest.raises(RuntimeError, match="stop"), Tracking(uri, root, "eta").run("second") as failed:
        raise RuntimeError("stop")

    found = run.client.get_run(run.run_id)
    assert found.data.params == {"student.rounds": "3"}
    assert found.data.metrics == {"student.mae_s": 200.0}
    assert found.data.tags["tandem.git_revision"] == "abc"
    assert found.info.status == "FINISHED"
    assert failed.client.get_run(failed.run_id).info.status == "FAILED"
    assert found.info.experiment_id == failed.client.get_run(failed.run_id).info.experiment_id
    kept = {path.name for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()}
    assert {"slices.json", "empty.png", "eta.onnx"} <= kept
