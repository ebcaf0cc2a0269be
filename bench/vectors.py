"""The model that all rows share and the requests' contents: at least 10,000 distinct vectors."""

from __future__ import annotations

from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd

from adapters.onnx_session import OUTPUTS, OnnxModel
from contracts.schema import Matrix
from training.export import Head, eta_graph, floor_thresholds, tree_node

POOL = 12_000
STAND_IN_WIDTH = 40


def stand_in(path: Path) -> Path:
    """Write a model of the student's size (150 trees of 63 leaves, 40 entries) fitted to noise, once."""
    if path.exists():
        return path
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(40_000, STAND_IN_WIDTH)).astype(np.float32)
    log_s = 6.4 + 0.3 * np.tanh(matrix[:, :6].sum(axis=1) / 2) + 0.1 * matrix[:, 6] * matrix[:, 7]
    log_s += 0.2 * rng.normal(size=len(matrix))
    fixed = {"objective": "regression", "num_leaves": 63, "learning_rate": 0.05, "verbose": -1, "num_threads": 1}
    booster = floor_thresholds(lgb.train(fixed, lgb.Dataset(matrix, log_s), num_boost_round=150))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(eta_graph(tree_node(booster), STAND_IN_WIDTH, Head(low_factor=0.7, high_factor=1.4)))
    return path


def pool(model: OnnxModel, golden: Path | None, n: int = POOL) -> Matrix:
    """Distinct finite vectors float32 [n, width]: each entry drawn from the artifact's golden rows, else from a normal.

    JSON has no NaN, so an absent entry takes the value of another row.
    """
    rng = np.random.default_rng(11)
    if golden is None:
        drawn = rng.normal(size=(n, model.width))
    else:
        rows = pd.read_parquet(golden).drop(columns=list(OUTPUTS))
        columns = [values[np.isfinite(values)] for values in rows.to_numpy(dtype=np.float64).T]
        drawn = np.column_stack([rng.choice(c, n) if len(c) else np.zeros(n) for c in columns])
        # Golden rows repeat entries; a hair's breadth keeps the vectors apart without leaving the range.
        drawn *= 1 + 1e-4 * rng.uniform(-1, 1, drawn.shape)
    vectors = np.array([[float(f"{value:.6g}") for value in row] for row in drawn], dtype=np.float32)
    if len(np.unique(vectors, axis=0)) < n:
        raise ValueError(f"{n} vectors wanted, {len(np.unique(vectors, axis=0))} are distinct")
    return vectors


def items(vectors: Matrix) -> list[list[float]]:
    """Vectors as JSON numbers: the shortest decimals that are the same float32."""
    return [[float(str(value)) for value in row] for row in vectors]
