"""A session takes the one signature it is made for."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from adapters.onnx_session import OnnxModel
from contracts.errors import ArtifactInvalid


def sums(outputs: tuple[str, ...] = ("eta_s", "low_s", "high_s"), name: str = "features") -> bytes:
    """A model whose every output is the sum of the vector."""
    nodes = [helper.make_node("ReduceSum", [name], [output], axes=[1], keepdims=1) for output in outputs]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 1]) for output in outputs],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 11)])
    return bytes(model.SerializeToString())


def test_rows_in_seconds_out() -> None:
    """Each output is flat, and NaN comes through unjudged."""
    model = OnnxModel(sums())
    assert model.width == 3
    eta_s, low_s, high_s = model.run(np.array([[1, 2, 3], [np.nan, 0, 0]], dtype=np.float32))
    assert eta_s.shape == low_s.shape == high_s.shape == (2,)
    assert eta_s[0] == 6.0
    assert np.isnan(eta_s[1])


@pytest.mark.parametrize(
    ("content", "check"),
    [(b"no model", "load"), (sums(("eta_s",)), "tensors"), (sums(name="input"), "tensors")],
)
def test_other_bytes_are_refused(content: bytes, check: str) -> None:
    """The error names the check."""
    with pytest.raises(ArtifactInvalid, match=f"{check} check"):
        OnnxModel(content)
