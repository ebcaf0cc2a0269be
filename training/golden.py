"""Rows that a replica answers again before it trusts a model."""

from __future__ import annotations

import numpy as np

from adapters.onnx_session import OnnxModel
from adapters.tables import Golden
from contracts.schema import FeatureSchema, Matrix


def golden_rows(model: OnnxModel, matrix: Matrix, schema: FeatureSchema, *, rows: int, seed: int) -> Golden:
    """Real vectors and the answers to them; in a quarter entries are absent, in another they stand at their bounds."""
    rng = np.random.default_rng(seed)
    picked: Matrix = matrix[np.sort(rng.integers(len(matrix), size=rows))]
    nullable = np.array([feature.nullable for feature in schema.features])
    bounds = np.array([[feature.low, feature.high] for feature in schema.features], dtype=np.float32)
    absent, extreme = np.array_split(np.arange(rows), 4)[1:3]
    gone = rng.random((len(absent), len(nullable))) < np.linspace(0, 1, len(absent))[:, None]
    picked[absent] = np.where(gone & nullable, np.nan, picked[absent])
    pushed = rng.random((len(extreme), len(nullable))) < np.linspace(0, 1, len(extreme))[:, None]
    ends = bounds[np.arange(len(nullable)), rng.integers(2, size=pushed.shape)]
    picked[extreme] = np.where(pushed, ends, picked[extreme])
    return Golden(picked, *model.run(picked))
