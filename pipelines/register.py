"""A trained version into MLflow: what was chosen and found, pictures, the artifact, a number and an alias."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.artifact_store import ETA_FILE, GOLDEN_FILE, HEURISTIC_FILE, MATRIX_FILE, ZONES_FILE
from adapters.onnx_session import INPUT, OUTPUTS
from adapters.tables import write_golden, write_heuristic
from contracts.features import ETA_SCHEMA
from contracts.hindsight import TEACHER_SCHEMA
from contracts.manifest import MANIFEST_FILE, Lineage, ModelManifest, Parity, describe, sha256
from contracts.teacher import TEACHER_FILE, TeacherManifest
from model_registry.store import TEACHER_FOLDER, ModelStore
from pipelines.gates import Verdicts, golden_of, require
from pipelines.gates import table as gates_table
from pipelines.layout import MODEL, Layout
from pipelines.lineage import hashes
from pipelines.vectors import LearningData
from training import distilled
from training.distill import FoldTeachers
from training.evaluate import Assessment, Estimates
from training.frontier import BATCHES, WORSE_BY
from training.frontier import table as frontier_table
from training.plots import compare_models, error_by_slice, frontier, importances, predicted_against_actual
from training.settings import TrainingSettings
from training.teacher_files import write_teachers
from training.tiers import BASELINE, Tiers
from training.tracking import Run, Tracking


@dataclass(frozen=True)
class Trained:
    """A run's choices and results; `student` holds its answers to the test trips, `verdicts` the gates' by use."""

    settings: TrainingSettings
    data: LearningData
    tiers: Tiers
    parity: Parity
    assessment: Assessment
    verdicts: Verdicts
    student: Estimates
    git_revision: str  # of the code as it was when the run began
    because: str  # why it was trained


def register(layout: Layout, trained: Trained) -> dict[str, Any]:
    """Log the run, keep its artifact and register it; returns version, alias and run.

    Raises GatesFailed after the logging, where a gate was not passed: the run ends as failed and has no version.
    """
    registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
    tracking = Tracking(layout.mlflow_uri, layout.mlflow_artifacts, MODEL)
    with tracking.run(f"{MODEL}, seed {trained.settings.seed}") as run, tempfile.TemporaryDirectory() as folder:
        lineage = _lineage(trained, run.run_id)
        _log(run, trained, lineage)
        _draw(run, trained)
        require(trained.verdicts)
        files = _write_files(Path(folder), trained)
        for file in files:
            run.file(file, "artifact")
        entry = registry.register(MODEL, f"{run.artifact_uri}/artifact", run.run_id)
        if trained.tiers.fold_teachers:
            _keep_teachers(run, trained.tiers.fold_teachers, entry.version, lineage)
        # Written last: without its manifest a version is not complete, and nothing takes it for one.
        manifest = Path(folder) / MANIFEST_FILE
        manifest.write_bytes(_manifest(entry.version, files, lineage, trained).encode())
        run.file(manifest, "artifact")
        alias = registry.admit(MODEL, entry.version)
    return {"model": f"{MODEL}@{entry.version}", "version": entry.version, "alias": alias, "run": run.run_id}


def _log(run: Run, trained: Trained, lineage: Lineage) -> None:
    schema = {"features": len(ETA_SCHEMA.names), "schema_hash": ETA_SCHEMA.schema_hash()}
    run.parameters({**trained.settings.flat(), **schema, "test_from": trained.data.test_from})
    run.tags({"git_revision": lineage.git_revision, "because": trained.because})
    run.tags({f"sha256.{name}": digest for name, digest in lineage.data_hashes.items()})
    run.metrics(trained.assessment.flat())
    run.metrics({"parity.max_abs_diff_s": trained.parity.max_abs_diff_s, "parity.rows": trained.parity.rows})
    run.metrics({"student.onnx_bytes": len(trained.tiers.for_one.graph)})
    figures = frontier_table(trained.tiers.figures)
    run.metrics({f"{model}.{figure}": value for model, row in figures.items() for figure, value in row.items()})
    run.tags({f"serves.{use}": candidate for use, (candidate, _) in trained.verdicts.items()})
    run.document(gates_table(trained.verdicts), "gates.json")
    run.document(trained.assessment.slices, "slices.json")
    if trained.tiers.distillation:
        run.metrics({f"labels.{name}": value for name, value in trained.tiers.labels.items()})
        run.document(distilled.table(trained.tiers.distillation), "distillation.json")


def _draw(run: Run, trained: Trained) -> None:
    slices = trained.assessment.slices
    run.figure(compare_models(trained.assessment.table), "plots/models.png")
    run.figure(error_by_slice(slices["student"], slices[BASELINE]), "plots/slices.png")
    picture = predicted_against_actual(trained.data.test.duration_s, trained.student.eta_s)
    run.figure(picture, "plots/predicted_actual.png")
    winners = {BATCHES[0]: trained.tiers.for_one.name, BATCHES[-1]: trained.tiers.for_many.name}
    run.figure(frontier(frontier_table(trained.tiers.figures), winners, equal=WORSE_BY), "plots/frontier.png")
    for tier in ("tree", "teacher"):
        gain = getattr(trained.tiers, tier).booster.feature_importance("gain")
        run.figure(importances(ETA_SCHEMA.names, gain, f"What the {tier} looks at"), f"plots/importance_{tier}.png")


def _write_files(folder: Path, trained: Trained) -> list[Path]:
    tiers, settings = trained.tiers, trained.settings
    (folder / ETA_FILE).write_bytes(tiers.for_one.graph)
    (folder / MATRIX_FILE).write_bytes(tiers.for_many.graph)
    write_heuristic(folder / HEURISTIC_FILE, tiers.heuristic)
    write_golden(folder / GOLDEN_FILE, golden_of(tiers.for_one, trained.data, settings), ETA_SCHEMA.names)
    shutil.copyfile(trained.data.zones_file, folder / ZONES_FILE)
    return [folder / name for name in (ETA_FILE, MATRIX_FILE, HEURISTIC_FILE, GOLDEN_FILE, ZONES_FILE)]


def _keep_teachers(run: Run, teachers: FoldTeachers, version: int, lineage: Lineage) -> None:
    """Keep the fold teachers with the run, not with the artifact: what is published holds none."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_teachers(Path(folder), teachers)
        manifest = TeacherManifest(
            model=MODEL,
            version=version,
            schema_name=TEACHER_SCHEMA.name,
            schema_hash=TEACHER_SCHEMA.schema_hash(),
            feature_names=TEACHER_SCHEMA.names,
            lineage=lineage,
            folds=tuple(file.name for file in files[: len(teachers.boosters)]),
            files={file.name: sha256(file.read_bytes()) for file in files},
        )
        files.append(Path(folder) / TEACHER_FILE)
        files[-1].write_bytes(manifest.encode())
        for file in files:
            run.file(file, TEACHER_FOLDER)


def _lineage(trained: Trained, run_id: str) -> Lineage:
    data = trained.data
    requests = [data.requests_file] if data.requests_file else []
    return Lineage(
        git_revision=trained.git_revision,
        data_hashes={**hashes(requests), **hashes([data.trips_file, data.zones_file])},
        mlflow_run=run_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        train_span=data.train_span,
    )


def _manifest(version: int, files: list[Path], lineage: Lineage, trained: Trained) -> ModelManifest:
    return ModelManifest(
        model=MODEL,
        version=version,
        use_case="eta",
        schema_name=ETA_SCHEMA.name,
        schema_hash=ETA_SCHEMA.schema_hash(),
        feature_names=ETA_SCHEMA.names,
        inputs={INPUT: describe("float32", -1, len(ETA_SCHEMA.names))},
        outputs={name: describe("float32", -1, 1) for name in OUTPUTS},
        metrics=trained.assessment.flat(),
        parity=trained.parity,
        lineage=lineage,
        files={file.name: sha256(file.read_bytes()) for file in files},
    )
