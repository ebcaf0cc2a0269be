"""`tandem drift`: what moved between two sets of trips, and what that may cost the version that serves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.artifact_store import ETA_FILE, ZONES_FILE, ArtifactStore
from adapters.onnx_session import OnnxModel
from adapters.tables import read_zones
from contracts.errors import NotFound
from contracts.manifest import ModelManifest
from model_registry.store import CHAMPION, ModelStore
from pipelines.layout import MODEL, Layout
from pipelines.logged import is_log, read_log
from pipelines.trips import read_any_trips
from pipelines.vectors import vectors_apart
from serving.artifacts import load_artifact
from training.drift import DEFAULT, Column, compare
from training.drift_plots import draw_drift
from training.evaluate import Estimates
from training.loss_estimate import fit_loss, score_estimate
from training.tiers import answers
from training.trip_vectors import TripVectors
from training.watched import watch


@dataclass(frozen=True)
class _Watched:
    """The version whose answers are watched."""

    manifest: ModelManifest
    model: OnnxModel
    zones_file: Path


@dataclass(frozen=True)
class _Side:
    """One set of trips: their vectors, the answers to them, and what is watched of both."""

    trips: TripVectors
    answers: Estimates | None
    columns: dict[str, Column]

    @property
    def labelled(self) -> bool:
        """Whether it is known how long the trips took."""
        return not bool(np.isnan(self.trips.duration_s).any())


def drift(
    home: Path, reference: Path, current: Path, *, version: int | None = None, plot: Path | None = None
) -> dict[str, Any]:
    """Compare two sets of trips, each a file of trips or a part of the prediction log.

    Trips get features made of their own file alone, so that both begin as cold; logged ones have those of the time.

    Args:
        home: TANDEM_HOME.
        reference: trips as they used to be, in our columns or the TLC's, or logged ones: a folder or a file.
        current: trips as they are.
        version: whose answers are watched; the champion where it is published, else what was logged, if anything.
        plot: a picture of what moved, PNG or SVG by its ending.

    Raises:
        NotFound: no such file or version.
        SchemaMismatch, DataRefused: of a file.

    """
    layout = Layout(home)
    watched = _watched(layout, version)
    zones_file = layout.zones if watched is None else watched.zones_file
    if not zones_file.is_file():
        raise NotFound("zones", str(zones_file), "`tandem data` brings a city in")
    before, after = (_side(path, zones_file, watched) for path in (reference, current))
    shifts = compare(before.columns, after.columns, days=(before.trips.context.day, after.trips.context.day))
    result = {
        "reference": _described(reference, before),
        "current": _described(current, after),
        "moved": [one.name for one in shifts if one.moved],
        "unjudged": [one.name for one in shifts if one.chance is None],
        "columns": {one.name: {key: value for key, value in asdict(one).items() if key != "name"} for one in shifts},
        "rule": asdict(DEFAULT),
        "error": _error(before, after, watched),
    }
    if plot is not None:
        draw_drift(shifts, before.columns, after.columns, (reference.stem, current.stem)).savefig(plot, dpi=150)
        result["plot"] = str(plot)
    return result


def _watched(layout: Layout, version: int | None) -> _Watched | None:
    store = ArtifactStore(layout.artifacts)
    if version is None:
        published = store.versions(MODEL)
        if not published:  # and so no registry is made where there was none
            return None
        registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
        version = registry.aliases(MODEL).get(CHAMPION)
        if version not in published:
            return None
    artifact = store.read(MODEL, version)
    load_artifact(artifact)  # refuses what a replica would refuse
    return _Watched(artifact.manifest, OnnxModel(artifact.files[ETA_FILE]), store.path(MODEL, version) / ZONES_FILE)


def _side(path: Path, zones_file: Path, watched: _Watched | None) -> _Side:
    logged: Estimates | None = None
    if is_log(path):
        trips, logged = read_log(path, read_zones(zones_file))
    else:
        frame, _ = read_any_trips(path, zones_file)
        trips = vectors_apart(zones_file, frame)
    found = logged if watched is None else answers(watched.model, trips.matrix)
    return _Side(trips, found, watch(trips, found))


def _error(before: _Side, after: _Side, watched: _Watched | None) -> dict[str, Any]:
    if watched is None or before.answers is None or after.answers is None:
        return {"judged": False, "why": "no version is published, so there are no answers of one to judge"}
    if not before.labelled:
        return {"judged": False, "why": "the reference has no labels to learn from where the model errs"}
    old, new = before.trips, after.trips
    model = fit_loss(old.matrix, before.answers.eta_s, old.duration_s, old.context.day)
    if model is None:
        return {"judged": False, "why": "the reference has too few days to learn from where the model errs"}
    estimate = model.estimate(new.matrix, after.answers.eta_s, new.context.day)
    found = score_estimate(estimate, after.answers.eta_s, new.duration_s) if after.labelled else None
    return {
        "judged": True,
        "model": watched.manifest.name,
        "learned_up_to": watched.manifest.lineage.train_span[1],
        "reference_mae_s": model.mae_s,
        "estimated_mae_s": estimate.mae_s,
        "estimated_low_s": estimate.low_s,
        "estimated_high_s": estimate.high_s,
        "mae_s": found and found.mae_s,
        "estimate_off": found and found.off,
        "inside": found and found.inside,
    }


def _described(path: Path, side: _Side) -> dict[str, Any]:
    return {"file": str(path), "trips": len(side.trips), "days": len(set(side.trips.context.day.tolist()))}
