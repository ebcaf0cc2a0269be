"""An artifact of the student's size for machines that have published none: the right shape, fitted to made-up trips."""

from __future__ import annotations

import hashlib
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.artifact_store import ETA_FILE, GOLDEN_FILE, HEURISTIC_FILE, ZONES_FILE, Artifact, ArtifactStore
from adapters.onnx_session import OnnxModel
from adapters.tables import Golden, write_golden, write_heuristic
from contracts.features import ETA_SCHEMA, OFFSET
from contracts.heuristic import PairMedian
from contracts.manifest import Lineage, ModelManifest, Parity
from contracts.schema import Feature, Floats, Matrix
from training.export import Head, eta_graph, floor_thresholds, round_leaves
from training.tree_ensemble import tree_node

TREES, LEAVES = 150, 63
ZONES_A_SIDE = 8
_TYPICAL = {"_lat": (40.75, 0.03), "_lon": (-73.98, 0.03), "log_s": (6.4, 0.4), "log_ratio": (0.0, 0.3)}


def stand_in(store: ArtifactStore, scratch: Path) -> Path:
    """Publish ``eta@1`` in an empty store and return its directory; what is there already stays."""
    if store.versions("eta"):
        return store.path("eta", store.versions("eta")[-1])
    scratch.mkdir(parents=True, exist_ok=True)
    matrix = draw(np.random.default_rng(7), 12_000)
    model = _fitted(matrix)
    golden = matrix[:512]
    write_golden(scratch / GOLDEN_FILE, Golden(golden, *OnnxModel(model).run(golden)), ETA_SCHEMA.names)
    write_heuristic(scratch / HEURISTIC_FILE, PairMedian({"1>2": 600.0}, np.full(24, 5.0), 0.7, 1.5))
    _write_zones(scratch / ZONES_FILE)
    files = {name: (scratch / name).read_bytes() for name in (GOLDEN_FILE, HEURISTIC_FILE, ZONES_FILE)}
    files[ETA_FILE] = model
    manifest = ModelManifest(
        model="eta",
        version=1,
        use_case="eta",
        schema_name=ETA_SCHEMA.name,
        schema_hash=ETA_SCHEMA.schema_hash(),
        feature_names=ETA_SCHEMA.names,
        inputs={"features": f"float32 [N, {len(ETA_SCHEMA.features)}]"},
        outputs=dict.fromkeys(("eta_s", "low_s", "high_s"), "float32 [N, 1]"),
        metrics={},
        parity=Parity(rows=0, max_abs_diff_s=0.0, branch_flips=0),
        lineage=Lineage("", {}, "", "1970-01-01T00:00:00+00:00", ("", "")),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return store.publish(Artifact(manifest, files))


def draw(rng: np.random.Generator, n: int) -> Matrix:
    """Vectors float32 [n, width] of plausible entries."""
    return np.column_stack([_entry(rng, feature, n) for feature in ETA_SCHEMA.features]).astype(np.float32)


def _entry(rng: np.random.Generator, feature: Feature, n: int) -> Floats:
    for ending, (mean, spread) in _TYPICAL.items():
        if feature.name.endswith(ending) or ending in feature.name:
            return np.clip(rng.normal(mean, spread, n), feature.low, feature.high)
    return rng.uniform(feature.low, min(feature.high, feature.low + 100.0), n)


def _fitted(matrix: Matrix) -> bytes:
    signal = np.tanh(matrix[:, 14:20].sum(axis=1)) * 0.2 + 0.2 * matrix[:, 24] * matrix[:, 25]
    noise = np.random.default_rng(8).normal(0, 0.2, len(matrix))
    settings = {"objective": "regression", "num_leaves": LEAVES, "learning_rate": 0.05, "verbose": -1, "num_threads": 1}
    booster = floor_thresholds(lgb.train(settings, lgb.Dataset(matrix, signal + noise), num_boost_round=TREES))
    booster = round_leaves(booster)
    head = Head(low_factor=0.7, high_factor=1.4, offset=ETA_SCHEMA.names.index(OFFSET))
    return eta_graph(tree_node(booster), matrix.shape[1], head)


def _write_zones(path: Path) -> None:
    """A grid of zones over Manhattan, known by their points."""
    ids = [str(n + 1) for n in range(ZONES_A_SIDE**2)]
    lat, lon = (grid.ravel() for grid in np.meshgrid(np.linspace(40.70, 40.82, 8), np.linspace(-74.02, -73.93, 8)))
    table = {
        "zone": ids,
        "name": [f"Zone {name}" for name in ids],
        "borough": ["Manhattan"] * len(ids),
        "lat": lat,
        "lon": lon,
        "polygon": pa.nulls(len(ids), pa.string()),
    }
    pq.write_table(pa.table(table), path)
