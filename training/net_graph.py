"""A net as an ONNX graph that takes the vector as it stands: `training.encoding`, the layers, the range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from adapters.onnx_session import INPUT
from contracts.schema import Floats, Matrix
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S
from training.encoding import HOURS_OF_WEEK, LIMIT, Encoding
from training.export import model_bytes
from training.net import QUANTILES, Net

LAYERS: Final = ("layer_1", "layer_2")
"""Names of the hidden layers' nodes, which are what is worth quantizing."""


@dataclass(frozen=True)
class NetHead:
    """What turns a net's outputs into seconds: entry `offset` of the vector, and what is added to the range's logs."""

    low_margin: float
    high_margin: float
    offset: int | None = None

    @property
    def margins(self) -> Matrix:
        """What is added to each of the outputs, float32 [3]."""
        return np.array([0.0, self.low_margin, self.high_margin], dtype=np.float32)

    def seconds(self, raw: Matrix, matrix: Matrix) -> tuple[Floats, Floats, Floats]:
        """Seconds (eta, low, high), each [n], as the graph computes them but in float64; low <= eta <= high."""
        log_s = raw.astype(np.float64) + self.margins
        if self.offset is not None:
            log_s += matrix[:, [self.offset]].astype(np.float64)
        eta, low, high = np.clip(np.exp(log_s), MIN_DURATION_S, MAX_DURATION_S).T
        return eta, np.minimum(low, eta), np.maximum(high, eta)


def net_graph(net: Net, width: int, head: NetHead) -> bytes:
    """The net to serve: ``features`` float32 [N, width] -> ``eta_s``, ``low_s``, ``high_s`` float32 [N, 1]."""
    parts = _Parts()
    layers = _layers(parts, net, _encoded(parts, net), head)
    _seconds(parts, layers, head)
    constants = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in parts.constants.items()]
    outputs = {"eta_s": 1, "low_s": 1, "high_s": 1}
    return model_bytes(parts.nodes, width, outputs, constants)


class _Parts:
    """Nodes and constants as they are put together."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Any] = {}

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=attributes.pop("name", output), **attributes))
        return output

    def keep(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def pick(self, positions: Any, output: str) -> str:
        where = self.keep(f"{output}_at", np.array(positions, dtype=np.int64))
        return self.add("Gather", [INPUT, where], output, axis=1)

    def look_up(self, table: Matrix, rows: str, roles: int, output: str) -> str:
        """The rows of a table, those of all roles side by side: [N, roles] -> [N, roles * width]."""
        found = self.add("Gather", [self.keep(f"{output}_table", table), rows], f"{output}_found")
        shape = self.keep(f"{output}_shape", np.array([0, roles * table.shape[1]], dtype=np.int64))
        return self.add("Reshape", [found, shape], output)


def _encoded(parts: _Parts, net: Net) -> str:
    """The net's input [N, dense + embeddings], as `Encoding.encode` and `training.net.forward` make it."""
    inputs = _numbers(parts, net.encoding)
    if "places" in net.weights:
        inputs.append(_places(parts, net))
    if "hours" in net.weights:
        inputs.append(_hours(parts, net))
    return parts.add("Concat", inputs, "input", axis=1)


def _numbers(parts: _Parts, encoding: Encoding) -> list[str]:
    columns, values = encoding.columns, INPUT
    if columns.counts:
        nothing, one = parts.keep("nothing", np.float32(0.0)), parts.keep("one", np.float32(1.0))
        counts = parts.add("Max", [parts.pick(columns.counts, "counts"), nothing], "whole_counts")
        logs = parts.add("Log", [parts.add("Add", [counts, one], "more_counts")], "log_counts")
        values = parts.add("Concat", [INPUT, logs], "values", axis=1)
    centred = parts.add("Sub", [values, parts.keep("mean", encoding.mean)], "centred")
    standard = parts.add("Mul", [centred, parts.keep("scale", encoding.scale)], "standard")
    absent = parts.add("IsNaN", [standard], "absent")
    present = parts.add("Where", [absent, parts.keep("usual", np.float32(0.0)), standard], "present")
    limits = [parts.keep("lowest", np.float32(-LIMIT)), parts.keep("highest", np.float32(LIMIT))]
    dense = [parts.add("Clip", [present, *limits], "dense")]
    if columns.nullable:
        first, after, axis = (parts.keep(f"marks_{i}", np.array([at])) for i, at in enumerate((*columns.marked, 1)))
        slot = parts.add("Slice", [absent, first, after, axis], "marked")
        dense.append(parts.add("Cast", [slot], "marks", to=TensorProto.FLOAT))
    return dense


def _places(parts: _Parts, net: Net) -> str:
    columns, index, table = net.encoding.columns, net.encoding.index, net.weights["places"]
    if index is None:
        raise AssertionError("a table of places without their index")
    lat, lon = (parts.pick([pair[side] for pair in columns.places], f"place_{side}") for side in (0, 1))
    nodes, constants = index.nodes(lat, lon, "places")
    parts.nodes += nodes
    parts.constants |= constants
    return parts.look_up(table, "places", len(columns.places), "place_entries")


def _hours(parts: _Parts, net: Net) -> str:
    clock = net.encoding.columns.clock
    if clock is None:
        raise AssertionError("a table of hours without a clock")
    steps = parts.keep("hours_of", np.array([[1.0], [24.0]], dtype=np.float32))
    time = parts.add("MatMul", [parts.pick(clock, "clock"), steps], "time")  # rounds once, as a sum does
    whole = parts.add("Cast", [time], "whole_hour", to=TensorProto.INT64)
    limits = [parts.keep("first_hour", np.int64(0)), parts.keep("last_hour", np.int64(HOURS_OF_WEEK - 1))]
    row = parts.add("Clip", [whole, *limits], "hour_of_week")  # after the cast, which leaves an absent time below 0
    return parts.look_up(net.weights["hours"], row, 1, "hour_entries")


def _layers(parts: _Parts, net: Net, value: str, head: NetHead) -> str:
    for number, name in enumerate(LAYERS, start=1):
        weights = [parts.keep(f"{kind}{number}", net.weights[f"{kind}{number}"]) for kind in ("w", "b")]
        value = parts.add(
            "Relu", [parts.add("Gemm", [value, *weights], f"sum_{number}", name=name)], f"hidden_{number}"
        )
    last = [parts.keep("w3", net.weights["w3"]), parts.keep("b3", net.weights["b3"] + head.margins)]
    return parts.add("Gemm", [value, *last], "raw", name="outputs")


def _seconds(parts: _Parts, raw: str, head: NetHead) -> None:
    log_s = raw
    if head.offset is not None:
        log_s = parts.add("Add", [raw, parts.pick([head.offset], "reference")], "log_s")
    limits = [parts.keep("shortest", np.float32(MIN_DURATION_S)), parts.keep("longest", np.float32(MAX_DURATION_S))]
    seconds = parts.add("Clip", [parts.add("Exp", [log_s], "unbounded"), *limits], "seconds")
    sizes = parts.keep("one_each", np.ones(len(QUANTILES), dtype=np.int64))
    names = ["eta_s", "quantile_low", "quantile_high"]
    parts.nodes.append(helper.make_node("Split", [seconds, sizes], names, axis=1))
    parts.add("Min", ["eta_s", "quantile_low"], "low_s")
    parts.add("Max", ["eta_s", "quantile_high"], "high_s")
