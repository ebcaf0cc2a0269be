"""`tandem replay --request`: one answered request again, by the version that answered it or by another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from adapters.artifact_store import ArtifactStore
from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.predictions import SHADOW
from contracts.schema import Matrix
from pipelines.layout import MODEL, Layout
from pipelines.prediction_rows import ANSWERS
from pipelines.prediction_search import Logged, find
from serving.artifacts import load_artifact

TOLERANCE_S: Final = 0.01
"""What answers are rounded to; float noise is far below it."""


def replay_request(home: Path, request_id: str, *, version: int | None = None) -> dict[str, Any]:
    """Run a version on the vectors that a request was answered from, and lay the answers side by side.

    Args:
        home: TANDEM_HOME.
        request_id: as it was answered.
        version: a published version; the one that answered where None.

    Returns:
        By trip the logged and the replayed answers; `ok` is False where the same version gives others than it gave.

    Raises:
        NotFound: the log has no such request, or the version is not published.
        DataRefused: the model was not asked, so that there are no vectors.
        SchemaMismatch: the version takes other features than were logged.
        ArtifactInvalid: the version's files are not what its manifest says, or not for this release.

    """
    layout = Layout(home)
    logged = _answered(find(layout.predictions, request_id), request_id)
    record = logged.record
    if not record.features or logged.head is None:
        why = f"the heuristic answered ({record.reason})" if record.reason else "it was logged without its features"
        raise DataRefused(f"request {request_id}", f"{why}; there is nothing to replay")
    artifact = ArtifactStore(layout.artifacts).read(MODEL, record.version if version is None else version)
    manifest = artifact.manifest
    if manifest.schema_hash != logged.head.schema_hash:
        expected = f"schema {logged.head.schema_hash[:12]}… of the logged features"
        raise SchemaMismatch(manifest.name, f"schema {manifest.schema_hash[:12]}…", expected)
    replayed = np.column_stack(load_artifact(artifact).onnx.run(record.matrix(record.features)))
    trips = _side_by_side(logged, replayed)
    same_version = manifest.version == record.version
    return {
        "request_id": request_id,
        "at": str(np.datetime64(round(record.at * 1000), "ms")) + "Z",
        "arm": record.arm,
        "logged_by": f"{MODEL}@{record.version}",
        "replayed_by": manifest.name,
        "trips": trips,
        "ok": not same_version or all(trip["same"] is not False for trip in trips),
    }


def _answered(found: list[Logged], request_id: str) -> Logged:
    answered = [logged for logged in found if logged.record.kind != SHADOW]
    if not answered:
        raise NotFound(
            "request",
            request_id,
            "an answer is in the log half a second after it was given, until it gives way to TANDEM_PREDICTIONS_MB",
        )
    return answered[0]


def _side_by_side(logged: Logged, replayed: Matrix) -> list[dict[str, Any]]:
    record = logged.record
    before = record.matrix(record.answers)
    rows = []
    for row, (name, fell_back) in enumerate(zip(record.names(), record.fallbacks(), strict=True)):
        cells: dict[str, Any] = {"id": name, "source": "fallback" if fell_back else "model"}
        for i, answer in enumerate(ANSWERS):
            cells |= {f"logged_{answer}": float(before[row, i]), f"replayed_{answer}": float(replayed[row, i])}
        # What the heuristic answered is not the model's to repeat.
        cells["same"] = None if fell_back else bool((np.abs(before[row] - replayed[row]) <= TOLERANCE_S).all())
        rows.append(cells)
    return rows
