"""`tandem evaluate`: errors of a published version on any file of trips, ours or the TLC's, by slice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adapters.artifact_store import ETA_FILE, HEURISTIC_FILE, ZONES_FILE, ArtifactStore
from adapters.onnx_session import OnnxModel
from adapters.tables import read_heuristic, read_zones
from pipelines.layout import MODEL, Layout
from pipelines.trips import read_any_trips, read_trips
from pipelines.vectors import labels, vectors_apart
from training.evaluate import assess
from training.tiers import BASELINE, estimate_served


def evaluate(home: Path, *, version: int, trips: Path) -> dict[str, Any]:
    """Judge a published version on the trips of a file, each with the features known when it started.

    The city is the version's own, whatever `home/data` holds now. Features come from the trips of the file itself and
    from those of `home/data` between the city's zones that started before its first.

    Args:
        home: TANDEM_HOME.
        version: a published version.
        trips: a canonical trips file, or one of the TLC's months, which is cleaned first.

    Raises:
        NotFound: no such version, file or zone.
        ArtifactInvalid: the version's files are not what its manifest says.
        SchemaMismatch: the file has neither our columns nor the TLC's.

    """
    layout = Layout(home)
    artifacts = ArtifactStore(layout.artifacts)
    artifact = artifacts.read(MODEL, version)
    zones_file = artifacts.path(MODEL, version) / ZONES_FILE
    asked, dropped = read_any_trips(trips, zones_file)
    history = _history(read_trips(layout.trips), asked, read_zones(zones_file).ids)
    everything = pd.concat([history, asked], ignore_index=True)
    vectors = vectors_apart(zones_file, everything)
    found = vectors.rows(everything.index >= len(history))
    estimates = estimate_served(
        OnnxModel(artifact.files[ETA_FILE]), read_heuristic(artifact.files[HEURISTIC_FILE]), found
    )
    assessment = assess(found.duration_s, estimates, labels(found), found.context.day, baseline=BASELINE)
    return {
        "model": artifact.manifest.name,
        "trips": len(asked),
        "dropped": dropped,
        "history": len(history),
        "table": assessment.table,
        "range": assessment.ranges["student"],
        "slices": assessment.slices["student"],
    }


def _history(trips: pd.DataFrame, asked: pd.DataFrame, zones: Sequence[str]) -> pd.DataFrame:
    before = trips["pickup_at"] < asked["pickup_at"].iloc[0]
    inside = trips["pickup_zone"].isin(zones) & trips["dropoff_zone"].isin(zones)
    history: pd.DataFrame = trips[before & inside & ~trips["trip_id"].isin(asked["trip_id"])]
    return history
