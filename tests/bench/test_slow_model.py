"""The slowed graph answers as before, only later."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from adapters.onnx_session import INPUT, OUTPUTS, OnnxModel
from bench.slow_model import call_ms, slowed


def _model() -> bytes:
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, 1])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in OUTPUTS]
    nodes = [
        helper.make_node("Exp", [INPUT], [OUTPUTS[0]]),
        helper.make_node("Neg", [OUTPUTS[0]], [OUTPUTS[1]]),
        helper.make_node("Abs", [OUTPUTS[0]], [OUTPUTS[2]]),
    ]
    graph = helper.make_graph(nodes, "small", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return model.SerializeToString()


def test_answers_stay_and_work_grows() -> None:
    """The products add an exact zero, and no optimizer takes them away."""
    rows = np.array([[0.5], [np.nan], [2.0]], dtype=np.float32)
    slow = slowed(_model(), 300)
    for before, after in zip(OnnxModel(_model()).run(rows), OnnxModel(slow).run(rows), strict=True):
        np.testing.assert_array_equal(before, after)
    assert call_ms(slow, rows[:1]) > 5 * call_ms(_model(), rows[:1])
