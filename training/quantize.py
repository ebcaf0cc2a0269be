"""The net in eight bits: onnxruntime's static quantization, with ranges found on real rows.

Only the hidden layers are quantized, and the tables of embeddings: that is where the bytes and the time are. What
reads the vector and what makes seconds stays float32, since an error there is an error of the answer.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from adapters.onnx_session import INPUT
from contracts.errors import InvalidInput
from contracts.schema import Matrix
from training.net_graph import LAYERS

CALIBRATION_ROWS: Final = 4096
_BATCH: Final = 512
_ACTIVATIONS: Final = {"s8s8": QuantType.QInt8, "u16s8": QuantType.QUInt16}
VARIANTS: Final = tuple(_ACTIVATIONS)
"""Bits of the activations, then of the weights; signed ones are centred, so that zero is exact."""


def quantize_net(graph: bytes, matrix: Matrix, *, variant: str, seed: int) -> bytes:
    """The same model with weights in eight bits and activations as `variant` says; inputs and outputs stay float32.

    Args:
        graph: what `net_graph` made.
        matrix: real rows [n, F]; a seeded draw of them sets the ranges of the activations.
        variant: one of `VARIANTS`.
        seed: of the draw.

    """
    if variant not in _ACTIVATIONS:
        raise InvalidInput("variant", f"{variant!r}, expected one of {', '.join(VARIANTS)}")
    picked = np.random.default_rng(seed).permutation(len(matrix))[:CALIBRATION_ROWS]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "net.onnx"
        quantize_static(
            onnx.load_from_string(graph),
            str(target),
            _Rows(matrix[np.sort(picked)]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Gemm", "Relu"],
            nodes_to_quantize=[*LAYERS, *(f"hidden_{number}" for number in range(1, len(LAYERS) + 1))],
            per_channel=True,
            activation_type=_ACTIVATIONS[variant],
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        model = onnx.load(target)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


class _Rows(CalibrationDataReader):  # type: ignore[misc]  # untyped library
    """The rows, a few hundred at a time."""

    def __init__(self, matrix: Matrix) -> None:
        self._batches: Iterator[Matrix] = iter(np.array_split(matrix, max(len(matrix) // _BATCH, 1)))

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer advises, on the root logger, to prepare a model that needs no preparing."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
