"""From a published version to a model that may serve: verified, warmed up, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from shapely.errors import ShapelyError

from adapters.artifact_store import ETA_FILE, GOLDEN_FILE, HEURISTIC_FILE, MATRIX_FILE, ZONES_FILE, Artifact
from adapters.onnx_session import OnnxModel, Seconds
from adapters.tables import Golden, read_golden, read_heuristic, read_polygons, read_zones
from contracts.errors import ArtifactInvalid, DataRefused, SchemaMismatch
from contracts.features import ETA_SCHEMA
from contracts.heuristic import PairMedian
from contracts.manifest import ModelManifest
from contracts.schema import FeatureSchema, Matrix
from contracts.zones import Zones
from serving.places import Locator
from serving.point_etas import Spread

GOLDEN_TOLERANCE_S: Final = 0.05
_WARM_UP_ROWS: Final = (1, 1, 8, 64, 512)


class ForMany(Protocol):
    """What answers hundreds of rows."""

    def run(self, matrix: Matrix) -> tuple[Seconds, Seconds, Seconds]:
        """Seconds (eta, low, high), each [n], for vectors [n, width]."""
        ...


@dataclass(frozen=True)
class LoadedModel:
    """A version that passed every check, with all that answering needs."""

    manifest: ModelManifest
    name: str
    onnx: OnnxModel
    zones: Zones
    locator: Locator
    heuristic: PairMedian
    probe: Matrix  # one golden vector [1, F], for health checks
    matrix: ForMany  # hundreds of pairs at a time
    spread: Spread  # of the points in each zone


def load_artifact(artifact: Artifact, *, schema: FeatureSchema = ETA_SCHEMA, threads: int = 1) -> LoadedModel:
    """Verify an artifact whose hashes were found right, and warm it up; raises ArtifactInvalid, naming the check."""
    name = artifact.manifest.name
    _check_schema(artifact.manifest, schema)
    missing = [file for file in (ETA_FILE, HEURISTIC_FILE, GOLDEN_FILE, ZONES_FILE) if file not in artifact.files]
    if missing:
        raise ArtifactInvalid(name, "file", f"the manifest lists no {missing[0]}")
    onnx = OnnxModel(artifact.files[ETA_FILE], threads=threads)
    if onnx.width != len(schema.features):
        raise ArtifactInvalid(name, "tensors", f"the model takes {onnx.width} entries, expected {len(schema.features)}")
    try:
        zones, polygons = read_zones(artifact.files[ZONES_FILE]), read_polygons(artifact.files[ZONES_FILE])
        locator, spread = Locator(zones, polygons), Spread.of(zones, polygons)
        heuristic = read_heuristic(artifact.files[HEURISTIC_FILE])
        golden = read_golden(artifact.files[GOLDEN_FILE], schema.names)
    except (DataRefused, SchemaMismatch, ShapelyError, ValueError) as error:
        raise ArtifactInvalid(name, "content", str(error)) from error
    if not zones.ids:
        raise ArtifactInvalid(name, "content", "zones.parquet has no zone")
    _check_golden(name, onnx, golden)
    matrix = _for_many(artifact, golden, onnx, threads)
    _ = zones.pairs  # computed once, and not while a request waits
    for rows in _WARM_UP_ROWS:
        onnx.run(np.resize(golden.matrix, (rows, golden.matrix.shape[1])))
    return LoadedModel(artifact.manifest, name, onnx, zones, locator, heuristic, golden.matrix[:1], matrix, spread)


def _check_schema(manifest: ModelManifest, schema: FeatureSchema) -> None:
    if manifest.schema_hash != schema.schema_hash():
        detail = f"made for schema {manifest.schema_hash[:12]}…, this release has {schema.schema_hash()[:12]}…"
        raise ArtifactInvalid(manifest.name, "schema", detail)
    if manifest.feature_names != schema.names:
        raise ArtifactInvalid(manifest.name, "schema", "its feature names are not the schema's")


def _for_many(artifact: Artifact, golden: Golden, onnx: OnnxModel, threads: int) -> OnnxModel:
    """The artifact's model for hundreds of rows, which is one of its own or the same; no golden answers are kept."""
    raw, name = artifact.files.get(MATRIX_FILE), artifact.manifest.name
    if raw is None or raw == artifact.files[ETA_FILE]:
        return onnx
    matrix = OnnxModel(raw, threads=threads)
    if matrix.width != onnx.width:
        raise ArtifactInvalid(name, "tensors", f"{MATRIX_FILE} takes {matrix.width} entries, expected {onnx.width}")
    if not all(np.isfinite(seconds).all() for seconds in matrix.run(golden.matrix)):
        raise ArtifactInvalid(name, "golden rows", f"{MATRIX_FILE} has no finite answer to all of them")
    return matrix


def _check_golden(name: str, onnx: OnnxModel, golden: Golden) -> None:
    if not len(golden.matrix):
        raise ArtifactInvalid(name, "golden rows", "there are none")
    answers = onnx.run(golden.matrix)
    for output, found in zip(("eta_s", "low_s", "high_s"), answers, strict=True):
        off = np.abs(found.astype(np.float64) - getattr(golden, output))
        if not (off <= GOLDEN_TOLERANCE_S).all():  # NaN fails it, too
            worst = int(np.argmax(np.nan_to_num(off, nan=np.inf)))
            detail = f"row {worst}, {output}: off by {off[worst]:.3f} s, at most {GOLDEN_TOLERANCE_S} s are allowed"
            raise ArtifactInvalid(name, "golden rows", detail)
