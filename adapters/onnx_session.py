"""An ETA model in onnxruntime: a float32 vector a trip in, three times in seconds out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from contracts.errors import ArtifactInvalid
from contracts.schema import Matrix

INPUT: Final = "features"
OUTPUTS: Final = ("eta_s", "low_s", "high_s")

_NAMES: Final = list(OUTPUTS)
Seconds = npt.NDArray[np.float32]


class OnnxModel:
    """A loaded model with one input ``features`` float32 [n, width] and outputs `OUTPUTS`, float32 [n, 1].

    Safe to use from several threads. Raises ArtifactInvalid for bytes that are no such model; outputs are not judged.
    """

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # The arena keeps the peak of the largest batch for ever, and buys nothing at these sizes. The memory pattern,
        # one allocation a call instead of one a step, is a few per cent faster at all of them (`bench batching`).
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = True
        options.log_severity_level = 3
        try:
            self._session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class
            raise ArtifactInvalid("model", "load", str(error)) from error
        inputs, outputs = self._session.get_inputs(), [tensor.name for tensor in self._session.get_outputs()]
        if [tensor.name for tensor in inputs] != [INPUT] or outputs != list(OUTPUTS):
            found = f"{[tensor.name for tensor in inputs]} -> {outputs}"
            raise ArtifactInvalid("model", "tensors", f"{found}, expected {[INPUT]} -> {list(OUTPUTS)}")
        if inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 2:  # noqa: PLR2004 - rows, entries
            raise ArtifactInvalid("model", "tensors", f"input {inputs[0].type}{inputs[0].shape}, expected float [n, f]")
        self.width: Final[int] = inputs[0].shape[1]
        self._run = self._session.run

    def run(self, matrix: Matrix) -> tuple[Seconds, Seconds, Seconds]:
        """Seconds (eta, low, high), each [n], for vectors [n, width]."""
        eta, low, high = self._run(_NAMES, {INPUT: matrix})
        return eta[:, 0], low[:, 0], high[:, 0]
