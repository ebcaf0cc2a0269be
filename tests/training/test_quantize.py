"""Eight bits keep what the net knows, and take the bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from adapters.onnx_session import OnnxModel
from contracts.errors import InvalidInput
from tests.training.small_town import COLUMNS, SMALL_NET, WIDTH, draw_town, town_encoding
from training.net import fit_net
from training.net_graph import NetHead, net_graph
from training.quantize import VARIANTS, quantize_net
from training.trees import Examples


@pytest.fixture(scope="module")
def town() -> Examples:
    """Four thousand trips."""
    return draw_town(4000)


@pytest.fixture(scope="module")
def graph(town: Examples) -> bytes:
    """A net of the town in float32."""
    return net_graph(fit_net(town, town_encoding(town), SMALL_NET, seed=1), WIDTH, NetHead(0.0, 0.0, COLUMNS.offset))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_quantized_net_answers_as_the_net_does(graph: bytes, town: Examples, variant: str) -> None:
    """Rows it was not calibrated on lose at most 2 % of accuracy, with NaNs too; float32 comes in and goes out."""
    quantized = OnnxModel(quantize_net(graph, town.matrix, variant=variant, seed=0))
    fresh = draw_town(4000, seed=9)
    before, after = (np.abs(model.run(fresh.matrix)[0] - fresh.duration_s) for model in (OnnxModel(graph), quantized))
    assert after.mean() < 1.02 * before.mean()
    eta_s, low_s, high_s = quantized.run(fresh.matrix)
    assert (low_s <= eta_s).all()
    assert (eta_s <= high_s).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_hidden_layers_have_eight_bit_weights(graph: bytes, town: Examples, variant: str) -> None:
    """Both matrices, and nothing that makes seconds."""
    model = onnx.load_from_string(quantize_net(graph, town.matrix, variant=variant, seed=0))
    eights = [w.name for w in model.graph.initializer if w.data_type == onnx.TensorProto.INT8 and len(w.dims) == 2]
    assert sorted(eights) == ["w1_quantized", "w2_quantized"]


def test_the_same_bytes_again_and_nothing_left_behind(
    graph: bytes, town: Examples, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The quantizer's own temporary files go with ours."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first, second = (quantize_net(graph, town.matrix, variant="s8s8", seed=0) for _ in range(2))
    assert first == second
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_variant_is_refused(graph: bytes, town: Examples) -> None:
    """The error names those there are."""
    with pytest.raises(InvalidInput, match="variant: 'int4', expected one of s8s8, u16s8"):
        quantize_net(graph, town.matrix, variant="int4", seed=0)
