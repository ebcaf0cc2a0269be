"""A LightGBM model as an ONNX graph that takes the same branch for every float32 vector.

LightGBM compares in float64, ONNX's trees in float32. Rounding a threshold to the nearest float32 may step over a
value between the two and send rows the other way. The largest float32 that is not above the threshold parts float32
values exactly as the threshold itself does, so thresholds are floored before anything else sees the model.

Leaves are put on a grid of powers of two. Sums of such are exact in float32, in whatever order they are added, and few
weights stand in the graph where there were as many as leaves (`training.tree_ensemble`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contracts.schema import Floats
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S
from training.tree_ensemble import ML_DOMAIN, ML_OPSET, tree_roots

OPSET: Final = 21  # the first whose quantization has 16 bits
IR_VERSION: Final = 10
LEAF_STEP: Final = (
    2.0**-13
)  # of log seconds: 300 trees of such are 0.06 % of a duration off, and no error is the larger

_SCHEMA_KEY: Final = "tandem.schema_hash"
_LARGEST: Final = np.finfo(np.float32).max
_ZERO: Final = np.float32(1e-35)  # LightGBM takes every value up to this for zero, so no threshold may stand inside


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
    return _edited(booster, "threshold", _floor)


def round_leaves(booster: lgb.Booster, step: float = LEAF_STEP) -> lgb.Booster:
    """Return the model with each leaf as the nearest multiple of `step`, a power of two."""
    return _edited(booster, "leaf_value", lambda values: np.round(values / step) * step)


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
) -> bytes:
    """Put nodes into a checked model ``features`` float32 [N, width] -> outputs float32 [N, columns]."""
    graph = helper.make_graph(
        nodes,
        "eta",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", n]) for name, n in outputs.items()],
        initializer=constants or [],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
    model = helper.make_model(graph, producer_name="tandem", ir_version=IR_VERSION, opset_imports=opsets)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def stamp(graph: bytes, schema_hash: str) -> bytes:
    """The graph with the hash of the schema that its vectors are of; the gates refuse one without."""
    model = onnx.load_from_string(graph)
    helper.set_model_props(model, {_SCHEMA_KEY: schema_hash})
    return bytes(model.SerializeToString(deterministic=True))


def schema_of(graph: bytes) -> str:
    """The hash that `stamp` left; empty where it did not."""
    found: dict[str, str] = {entry.key: entry.value for entry in onnx.load_from_string(graph).metadata_props}
    return found.get(_SCHEMA_KEY, "")


def thresholds(booster: lgb.Booster) -> list[tuple[int, float]]:
    """Each (feature, threshold) at which the model splits, once."""
    found: set[tuple[int, float]] = set()
    for root in tree_roots(booster):
        pending = [root]
        while pending:
            node = pending.pop()
            if "split_index" in node:
                found.add((int(node["split_feature"]), float(node["threshold"])))
                pending += [node["left_child"], node["right_child"]]
    return sorted(found)


def _edited(booster: lgb.Booster, entry: str, change: Callable[[Floats], Floats]) -> lgb.Booster:
    def changed(line: re.Match[str]) -> str:
        return f"{entry}=" + " ".join(repr(float(value)) for value in change(np.array(line[1].split(), dtype=float)))

    text = re.sub(rf"(?m)^{entry}=(.+)$", changed, booster.model_to_string())
    # The sizes serve a parallel parse and no longer fit; without them LightGBM reads tree after tree.
    return lgb.Booster(model_str=re.sub(r"(?m)^tree_sizes=.*\n", "", text))


def _floor(values: Floats) -> Floats:
    nearest = np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)  # NaN is parted from all else at infinity
    with np.errstate(over="ignore"):  # below the smallest float32, where the result is not used
        below = np.nextafter(nearest, np.float32(-np.inf))
    floored = np.where(nearest.astype(np.float64) > values, below, nearest)
    zero = np.abs(floored) <= _ZERO
    below_zero = np.nextafter(-_ZERO, np.float32(-np.inf))
    return np.where(zero, np.where(values >= 0, _ZERO, below_zero), floored).astype(np.float64)
