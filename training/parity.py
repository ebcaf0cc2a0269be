"""Does the exported model answer as the native one? Leaf by leaf, second by second, also where rounding bites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import lightgbm as lgb
import numpy as np
import onnxruntime as ort

from adapters.onnx_session import OnnxModel
from contracts.errors import TandemError
from contracts.manifest import Parity
from contracts.schema import Floats, Matrix
from training.export import Head, model_bytes, thresholds
from training.tree_ensemble import leaf_node, trees_of

Native = Callable[[Matrix], tuple[Floats, Floats, Floats]]
MAX_ABS_DIFF_S: Final = 0.1
_BATCH: Final = 8192


class ParityFailed(TandemError):
    """The exported model is not the native one."""

    def __init__(self, parity: Parity) -> None:
        super().__init__(
            f"exported model: {parity.branch_flips} rows of {parity.rows} take another branch, expected 0; "
            f"largest difference {parity.max_abs_diff_s:.3f} s, at most {MAX_ABS_DIFF_S} s"
        )
        self.parity = parity


def measure_parity(booster: lgb.Booster, head: Head, graph: bytes, matrix: Matrix) -> Parity:
    """Compare an exported graph on the rows of `matrix` [n, F] as they stand.

    A branch flip is a row that ends in another leaf in at least one tree; the graph's leaves are read from its own
    trees with each weight replaced by the leaf's number.
    """
    exported = OnnxModel(graph)
    leaves = ort.InferenceSession(
        model_bytes([leaf_node(booster, trees_of(graph))], matrix.shape[1], {"leaves": booster.num_trees()}),
        providers=["CPUExecutionProvider"],
    )
    flips, largest = 0, 0.0
    for start in range(0, len(matrix), _BATCH):
        rows = matrix[start : start + _BATCH]
        native_leaves = booster.predict(rows, pred_leaf=True)
        flips += int((leaves.run(None, {"features": rows})[0] != native_leaves).any(axis=1).sum())
        eta_s = head.eta_s(booster.predict(rows), rows)
        low_s, high_s = head.interval(eta_s)
        for ours, theirs in zip((eta_s, low_s, high_s), exported.run(rows), strict=True):
            largest = max(largest, float(np.abs(ours - theirs).max()))
    return Parity(rows=len(matrix), max_abs_diff_s=largest, branch_flips=flips)


def threshold_rows(booster: lgb.Booster, matrix: Matrix, *, seed: int) -> Matrix:
    """Real rows with one entry put at a split: each threshold of the model, and the float32 on either side of it."""
    splits = thresholds(booster)
    features = np.repeat(np.array([feature for feature, _ in splits], dtype=np.intp), 3)
    values = np.array([value for _, value in splits], dtype=np.float32)
    with np.errstate(over="ignore"):  # the largest float32 has infinity above it, which no vector holds
        below, above = np.nextafter(values, np.float32(-np.inf)), np.nextafter(values, np.float32(np.inf))
    above = np.minimum(above, np.finfo(np.float32).max)
    picks = np.random.default_rng(seed).integers(len(matrix), size=len(features))
    rows: Matrix = matrix[picks]
    rows[np.arange(len(rows)), features] = np.column_stack([below, values, above]).ravel()
    return rows


def full_parity(booster: lgb.Booster, head: Head, graph: bytes, matrix: Matrix, *, rows: int, seed: int) -> Parity:
    """Compare on `rows` rows drawn from `matrix` and on every threshold."""
    everything = np.concatenate([_draw(matrix, rows, seed), threshold_rows(booster, matrix, seed=seed)])
    return measure_parity(booster, head, graph, everything)


def agreement(native: Native, exported: OnnxModel, matrix: Matrix, *, rows: int, seed: int) -> Parity:
    """Compare a model that has no branches on `rows` rows drawn from `matrix`."""
    drawn, largest = _draw(matrix, rows, seed), 0.0
    for start in range(0, len(drawn), _BATCH):
        part = drawn[start : start + _BATCH]
        for ours, theirs in zip(native(part), exported.run(part), strict=True):
            largest = max(largest, float(np.abs(ours - theirs).max()))
    return Parity(rows=len(drawn), max_abs_diff_s=largest, branch_flips=0)


def require_parity(booster: lgb.Booster, head: Head, graph: bytes, matrix: Matrix, *, rows: int, seed: int) -> Parity:
    """As `full_parity`; raises ParityFailed with the figures."""
    parity = full_parity(booster, head, graph, matrix, rows=rows, seed=seed)
    if parity.branch_flips or parity.max_abs_diff_s > MAX_ABS_DIFF_S:
        raise ParityFailed(parity)
    return parity


def _draw(matrix: Matrix, rows: int, seed: int) -> Matrix:
    drawn: Matrix = matrix[np.sort(np.random.default_rng(seed).permutation(len(matrix))[:rows])]
    return drawn
