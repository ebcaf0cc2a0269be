"""The same session for every tool: one thread, no arena, all three outputs."""

import os
from typing import Any

import numpy as np
import onnxruntime as ort

OUTPUTS = ["eta_s", "low_s", "high_s"]


class Model:
    """The model at `path`, or at BENCH_MODEL."""

    def __init__(self, path: str = "") -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        source = path or os.environ["BENCH_MODEL"]
        self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def run(self, features: Any) -> Any:
        """Vectors [n, width] -> three float32 arrays [n, 1]: eta, low and high in seconds."""
        return self._session.run(OUTPUTS, {"features": np.asarray(features, dtype=np.float32)})
