"""A LightGBM model as an ONNX graph that takes the same branch for every float32 vector.

LightGBM compares in float64, ONNX's trees in float32. Rounding a threshold to the nearest float32 may step over a
value between the two and send rows the other way. The largest float32 that is not above the threshold parts float32
values exactly as the threshold itself does, so thresholds are floored before anything else sees the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from contracts.errors import TandemError
from contracts.schema import Floats
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S

OPSET: Final = 15  # the converter's last
IR_VERSION: Final = 8
ML_DOMAIN: Final = "ai.onnx.ml"

_LARGEST: Final = np.finfo(np.float32).max
_ZERO: Final = np.float32(1e-35)  # LightGBM takes every value up to this for zero, so no threshold may stand inside


class NotExportable(TandemError):
    """A model has a split that the graph can't express."""

    def __init__(self, tree: int, what: str) -> None:
        super().__init__(f"tree {tree} has {what}, expected numerical splits on '<=' alone")


@dataclass(frozen=True)
class Head:
    """What turns the trees' sum into seconds: exp(sum + entry `offset` of the vector), and the 80 % range's factors.

    All three times are clipped to 60..7200 s, the range of a plausible trip.
    """

    low_factor: float
    high_factor: float
    offset: int | None = None

    def eta_s(self, raw: Floats, matrix: Any) -> Floats:
        """Seconds [n] from the trees' sums [n], as the graph computes them but in float64."""
        log_s = raw if self.offset is None else raw + matrix[:, self.offset].astype(np.float64)
        return np.clip(np.exp(log_s), MIN_DURATION_S, MAX_DURATION_S)

    def interval(self, eta_s: Floats) -> tuple[Floats, Floats]:
        """The 80 % range around estimates [n]."""
        low, high = eta_s * self.low_factor, eta_s * self.high_factor
        return np.clip(low, MIN_DURATION_S, MAX_DURATION_S), np.clip(high, MIN_DURATION_S, MAX_DURATION_S)


def floor_thresholds(booster: lgb.Booster) -> lgb.Booster:
    """Return the model with each threshold as the largest float32 not above it; float32 rows notice nothing."""

    def floored(line: re.Match[str]) -> str:
        return "threshold=" + " ".join(repr(float(t)) for t in _floor(np.array(line[1].split(), dtype=np.float64)))

    text = re.sub(r"(?m)^threshold=(.+)$", floored, booster.model_to_string())
    # The sizes serve a parallel parse and no longer fit; without them LightGBM reads tree after tree.
    return lgb.Booster(model_str=re.sub(r"(?m)^tree_sizes=.*\n", "", text))


def tree_node(booster: lgb.Booster) -> onnx.NodeProto:
    """Convert the trees to one TreeEnsembleRegressor ``features`` -> ``raw``.

    The way of a NaN at each split is LightGBM's own: to the default side where training saw NaNs in that feature, as
    a zero where it did not (the converter errs in some of these). Raises NotExportable on categorical splits.
    """
    width = booster.num_feature()
    converted = convert_lightgbm(
        booster,
        name="trees",
        initial_types=[("features", FloatTensorType([None, width]))],
        target_opset=OPSET,
        zipmap=False,
    )
    (node,) = [node for node in converted.graph.node if node.op_type == "TreeEnsembleRegressor"]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    starts = _starts(attributes["nodes_treeids"])
    nan_goes_left = [0] * len(attributes["nodes_treeids"])
    for tree, root in enumerate(_roots(booster)):
        for split, at in _splits(tree, root, attributes, starts[tree]):
            nan_goes_left[at] = _nan_goes_left(split)
    attributes["nodes_missing_value_tracks_true"] = nan_goes_left
    return helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["raw"], name="trees", domain=ML_DOMAIN, **attributes
    )


def leaf_node(booster: lgb.Booster, trees: onnx.NodeProto) -> onnx.NodeProto:
    """Variant of a `tree_node` with an output a tree: the index of the LightGBM leaf that a row ends in."""
    attributes = {a.name: helper.get_attribute_value(a) for a in trees.attribute}
    starts = _starts(attributes["nodes_treeids"])
    leaf_at: dict[tuple[int, int], int] = {}
    for tree, root in enumerate(_roots(booster)):
        for leaf, at in _leaves(root, attributes, starts[tree]):
            leaf_at[tree, attributes["nodes_nodeids"][at]] = leaf
    keys = list(zip(attributes["target_treeids"], attributes["target_nodeids"], strict=True))
    attributes["target_ids"] = [tree for tree, _ in keys]
    attributes["target_weights"] = [float(leaf_at[key]) for key in keys]
    attributes["n_targets"] = booster.num_trees()
    return helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["leaves"], name="leaves", domain=ML_DOMAIN, **attributes
    )


def eta_graph(trees: onnx.NodeProto, width: int, head: Head) -> bytes:
    """The served model: ``features`` float32 [N, width] -> ``eta_s``, ``low_s``, ``high_s`` float32 [N, 1]."""
    numbers: dict[str, Any] = {
        "shortest": np.float32(MIN_DURATION_S),
        "longest": np.float32(MAX_DURATION_S),
        "low_factor": np.float32(head.low_factor),
        "high_factor": np.float32(head.high_factor),
    }
    nodes, log_s = [trees], "raw"
    if head.offset is not None:
        numbers["offset"] = np.array([head.offset], dtype=np.int64)
        nodes.append(helper.make_node("Gather", ["features", "offset"], ["reference"], axis=1))
        nodes.append(helper.make_node("Add", ["raw", "reference"], ["log_s"]))
        log_s = "log_s"
    nodes += [
        helper.make_node("Exp", [log_s], ["unbounded"]),
        helper.make_node("Clip", ["unbounded", "shortest", "longest"], ["eta_s"]),
    ]
    for side in ("low", "high"):
        nodes.append(helper.make_node("Mul", ["eta_s", f"{side}_factor"], [f"unbounded_{side}"]))
        nodes.append(helper.make_node("Clip", [f"unbounded_{side}", "shortest", "longest"], [f"{side}_s"]))
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()]
    return model_bytes(nodes, width, {"eta_s": 1, "low_s": 1, "high_s": 1}, constants)


def model_bytes(
    nodes: list[onnx.NodeProto],
    width: int,
    outputs: dict[str, int],
    constants: list[onnx.TensorProto] | None = None,
    *,
    opset: int = OPSET,
    ir_version: int = IR_VERSION,
) -> bytes:
    """Put nodes into a checked model ``features`` float32 [N, width] -> outputs float32 [N, columns]."""
    graph = helper.make_graph(
        nodes,
        "eta",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", n]) for name, n in outputs.items()],
        initializer=constants or [],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML_DOMAIN, 1)]
    model = helper.make_model(graph, producer_name="tandem", ir_version=ir_version, opset_imports=opsets)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def thresholds(booster: lgb.Booster) -> list[tuple[int, float]]:
    """Each (feature, threshold) at which the model splits, once."""
    found: set[tuple[int, float]] = set()
    for root in _roots(booster):
        pending = [root]
        while pending:
            node = pending.pop()
            if "split_index" in node:
                found.add((int(node["split_feature"]), float(node["threshold"])))
                pending += [node["left_child"], node["right_child"]]
    return sorted(found)


def _floor(values: Floats) -> Floats:
    nearest = np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)  # NaN is parted from all else at infinity
    with np.errstate(over="ignore"):  # below the smallest float32, where the result is not used
        below = np.nextafter(nearest, np.float32(-np.inf))
    floored = np.where(nearest.astype(np.float64) > values, below, nearest)
    zero = np.abs(floored) <= _ZERO
    below_zero = np.nextafter(-_ZERO, np.float32(-np.inf))
    return np.where(zero, np.where(values >= 0, _ZERO, below_zero), floored).astype(np.float64)


def _nan_goes_left(split: dict[str, Any]) -> int:
    if split["missing_type"] == "NaN":
        return int(split["default_left"])
    return int(float(split["threshold"]) >= 0.0)


def _roots(booster: lgb.Booster) -> Iterator[dict[str, Any]]:
    for tree in booster.dump_model()["tree_info"]:
        yield tree["tree_structure"]


def _starts(tree_ids: list[int]) -> dict[int, int]:
    starts: dict[int, int] = {}
    for at, tree in enumerate(tree_ids):
        starts.setdefault(tree, at)
    return starts


def _walk(root: dict[str, Any], attributes: dict[str, Any], start: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Go down a tree of LightGBM and its twin in the graph together; the converter numbers nodes its own way."""
    pending = [(root, start)]
    while pending:
        node, at = pending.pop()
        yield node, at
        if "split_index" in node:
            pending.append((node["left_child"], start + attributes["nodes_truenodeids"][at]))
            pending.append((node["right_child"], start + attributes["nodes_falsenodeids"][at]))


def _splits(
    tree: int, root: dict[str, Any], attributes: dict[str, Any], start: int
) -> Iterator[tuple[dict[str, Any], int]]:
    for node, at in _walk(root, attributes, start):
        if "split_index" not in node:
            continue
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise NotExportable(tree, f"a split on {node['decision_type']!r}, missing type {node['missing_type']}")
        yield node, at


def _leaves(root: dict[str, Any], attributes: dict[str, Any], start: int) -> Iterator[tuple[int, int]]:
    for node, at in _walk(root, attributes, start):
        if "split_index" not in node:
            yield int(node.get("leaf_index", 0)), at
