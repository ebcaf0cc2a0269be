"""A small world to train on: NaNs, whole numbers, constants, a reference that the target is relative to."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from adapters.onnx_session import OnnxModel
from contracts.schema import Matrix
from training.export import Head, eta_graph, floor_thresholds, round_leaves
from training.settings import TreeSettings
from training.tree_ensemble import tree_node
from training.trees import Examples

OFFSET = 2
SMALL = TreeSettings(rounds=40, leaves=15, learning_rate=0.15)


@dataclass(frozen=True)
class Exported:
    """A model as it was trained, as it is compared with, and as it is served."""

    raw: lgb.Booster
    booster: lgb.Booster
    head: Head
    graph: bytes
    model: OnnxModel


def draw(rows: int, seed: int = 0) -> Examples:
    """Trips of about ten minutes; entry 2 is the log reference, entries 5 and 8 may be absent."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, 10)).astype(np.float32)
    matrix[:, OFFSET] = rng.normal(6.4, 0.5, rows)
    matrix[:, 3] = rng.integers(0, 24, rows)
    matrix[:, 7] = np.round(matrix[:, 7], 1)
    matrix[:, 9] = 1.0
    matrix[rng.random(rows) < 0.2, 5] = np.nan
    matrix[rng.random(rows) < 0.6, 8] = np.nan
    log_s = matrix[:, OFFSET] + 0.3 * matrix[:, 0] + 0.1 * np.sin(matrix[:, 3]) + 0.2 * matrix[:, 7] * matrix[:, 1]
    log_s += np.where(np.isnan(matrix[:, 5]), 0.4, 0.1 * np.nan_to_num(matrix[:, 5])) + rng.normal(0, 0.2, rows)
    return Examples(matrix, np.clip(np.exp(log_s.astype(np.float64)), 60, 7200))


def export(raw: lgb.Booster, head: Head) -> Exported:
    """Floor, round and export."""
    booster = round_leaves(floor_thresholds(raw))
    graph = eta_graph(tree_node(booster), booster.num_feature(), head)
    return Exported(raw, booster, head, graph, OnnxModel(graph))


def with_absent(matrix: Matrix, seed: int = 5) -> Matrix:
    """Rows where a fifth of all entries is NaN, also of those that never were in training; negative zeros too."""
    rng = np.random.default_rng(seed)
    rows = matrix.copy()
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows[rng.random(rows.shape) < 0.05] = -0.0
    return rows
