"""`tandem drift`: what moved between two files of trips, and what that may cost the version that serves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapters.artifact_store import ETA_FILE, ZONES_FILE, ArtifactStore
from adapters.onnx_session import OnnxModel
from contracts.errors import NotFound
from contracts.manifest import ModelManifest
from model_registry.store import CHAMPION, ModelStore
from pipelines.layout import MODEL, Layout
from pipelines.trips import read_any_trips
from pipelines.vectors import vectors_apart
from serving.artifacts import load_artifact
from training.drift import DEFAULT, Column, Shift, compare
from training.drift_plots import draw_drift
from training.evaluate import Estimates
from training.loss_estimate import fit_loss, score_estimate
from training.tiers import TripVectors, answers
from training.watched import watch


@dataclass(frozen=True)
class Watched:
    """The version whose answers are watched."""

    manifest: ModelManifest
    model: OnnxModel
    zones_file: Path


@dataclass(frozen=True)
class Side:
    """One file: its trips' vectors, the answers to them, and what is watched of both."""

    trips: TripVectors
    answers: Estimates | None
    columns: dict[str, Column]


def drift(
    home: Path, reference: Path, current: Path, *, version: int | None = None, plot: Path | None = None
) -> dict[str, Any]:
    """Compare two files of trips, each with features made of its own trips alone, so that both begin as cold.

    Args:
        home: TANDEM_HOME.
        reference: trips as they used to be, in our columns or the TLC's.
        current: trips as they are.
        version: whose answers are watched; the champion where it is published, else none.
        plot: a picture of what moved, PNG or SVG by its ending.

    Raises:
        NotFound: no such file or version.
        SchemaMismatch, DataRefused: of a file.

    """
    layout = Layout(home)
    watched = _watched(layout, version)
    zones_file = layout.zones if watched is None else watched.zones_file
    if watched is None and not zones_file.is_file():
        raise NotFound("zones", str(zones_file), "`tandem data` brings a city in")
    before, after = (_side(file, zones_file, watched) for file in (reference, current))
    result = {
        "reference": _described(reference, before),
        "current": _described(current, after),
        **report(before, after, watched),
    }
    if plot is not None:
        shifts = compare_sides(before, after)
        draw_drift(shifts, before.columns, after.columns, (reference.stem, current.stem)).savefig(plot, dpi=150)
        result["plot"] = str(plot)
    return result


def report(before: Side, after: Side, watched: Watched | None) -> dict[str, Any]:
    """What moved, every column's distances, and the error: estimated without labels, then scored by them."""
    shifts = compare_sides(before, after)
    return {
        "moved": [one.name for one in shifts if one.moved],
        "unjudged": [one.name for one in shifts if one.chance is None],
        "columns": {one.name: {key: value for key, value in asdict(one).items() if key != "name"} for one in shifts},
        "rule": asdict(DEFAULT),
        "error": _error(before, after, watched),
    }


def compare_sides(before: Side, after: Side) -> list[Shift]:
    """Shifts of all columns, the largest first."""
    days = before.trips.context.day, after.trips.context.day
    return compare(before.columns, after.columns, days=days)


def side_of(trips: TripVectors, watched: Watched | None) -> Side:
    """Trips with the answers to them."""
    found = None if watched is None else answers(watched.model, trips.matrix)
    return Side(trips, found, watch(trips, found))


def watched_version(layout: Layout, version: int) -> Watched:
    """A published version; raises NotFound, ArtifactInvalid."""
    store = ArtifactStore(layout.artifacts)
    artifact = store.read(MODEL, version)
    load_artifact(artifact)  # refuses what a replica would refuse
    return Watched(artifact.manifest, OnnxModel(artifact.files[ETA_FILE]), store.path(MODEL, version) / ZONES_FILE)


def _watched(layout: Layout, version: int | None) -> Watched | None:
    if version is not None:
        return watched_version(layout, version)
    published = ArtifactStore(layout.artifacts).versions(MODEL)
    if not published:  # and so no registry is made where there was none
        return None
    champion = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock).aliases(MODEL).get(CHAMPION)
    return watched_version(layout, champion) if champion in published else None


def _side(file: Path, zones_file: Path, watched: Watched | None) -> Side:
    trips, _ = read_any_trips(file, zones_file)
    return side_of(vectors_apart(zones_file, trips), watched)


def _error(before: Side, after: Side, watched: Watched | None) -> dict[str, Any]:
    if watched is None or before.answers is None or after.answers is None:
        return {"judged": False, "why": "no version is published, so there are no answers to judge"}
    old, new = before.trips, after.trips
    model = fit_loss(old.matrix, before.answers.eta_s, old.duration_s, old.context.day)
    if model is None:
        return {"judged": False, "why": "the reference has too few days to learn from where the model errs"}
    estimate = model.estimate(new.matrix, after.answers.eta_s, new.context.day)
    found = score_estimate(estimate, after.answers.eta_s, new.duration_s)
    return {
        "judged": True,
        "model": watched.manifest.name,
        "learned_up_to": watched.manifest.lineage.train_span[1],
        "reference_mae_s": model.mae_s,
        "estimated_mae_s": estimate.mae_s,
        "estimated_low_s": estimate.low_s,
        "estimated_high_s": estimate.high_s,
        "mae_s": found.mae_s,
        "estimate_off": found.off,
        "inside": found.inside,
    }


def _described(file: Path, side: Side) -> dict[str, Any]:
    return {"file": str(file), "trips": len(side.trips), "days": len(set(side.trips.context.day.tolist()))}
