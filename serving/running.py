"""Where a model call runs: on the event loop when it takes less than a change of threads, else beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

from adapters.onnx_session import OnnxModel, Seconds
from contracts.schema import Matrix
from serving.call import Call

MAX_INLINE_ROWS: Final = 64
Outputs = tuple[Seconds, Seconds, Seconds]


def run(model: OnnxModel, matrix: Matrix, call: Call) -> Outputs | Awaitable[Outputs]:
    """Seconds (eta, low, high), each [n], for vectors [n, width]; hundreds of rows would keep everyone else waiting."""
    if len(matrix) > MAX_INLINE_ROWS:
        return _beside(model, matrix, call)
    asked = time.perf_counter()
    outputs = model.run(matrix)
    call.model_s = time.perf_counter() - asked
    return outputs


async def _beside(model: OnnxModel, matrix: Matrix, call: Call) -> Outputs:
    outputs, call.model_s = await call.waiting(asyncio.to_thread(_timed, model, matrix))
    call.waited_s -= call.model_s  # it held a processor, if not the event loop
    return outputs


def _timed(model: OnnxModel, matrix: Matrix) -> tuple[Outputs, float]:
    asked = time.perf_counter()
    outputs = model.run(matrix)
    return outputs, time.perf_counter() - asked
