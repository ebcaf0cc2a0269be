"""Open Inference Protocol V2 as a use case: the model's own tensors in, its own tensors out, whatever the transport."""

from __future__ import annotations

import math
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from adapters.onnx_session import INPUT, OUTPUTS
from contracts.clock import Clock
from contracts.errors import InvalidInput, NotFound, Unavailable
from contracts.messages import MAX_TRIPS
from contracts.predictions import Prediction
from contracts.schema import Matrix
from serving.artifacts import LoadedModel
from serving.call import Call
from serving.records import infer_record
from serving.routing import Routing
from serving.running import Outputs, run

SERVER: Final = "tandem"
PLATFORM: Final = "onnx_onnxruntime"
EXTENSIONS: Final = ("binary_tensor_data",)
DATATYPE: Final = "FP32"
Tensor = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as the metadata call tells of it; -1 stands for any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelMetadata:
    """What the metadata call answers."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class InferenceService:
    """Finds loaded versions by name and runs them on checked tensors."""

    def __init__(self, routing: Routing, clock: Clock, log: Callable[[Prediction], None]) -> None:
        self._routing = routing
        self._clock = clock
        self._log = log

    def model(self, name: str, version: str = "", *, arm: str | None = None) -> LoadedModel:
        """Return a loaded version or a tester's arm, the champion where none is named.

        Raises NotFound, Unavailable, or InvalidInput where there is no such arm.
        """
        table = self._routing.table
        if name != table.model:
            raise NotFound("model", name, f"this server has {table.model!r}")
        if arm is not None:
            if version:
                raise InvalidInput("X-Tandem-Arm", f"is {arm[:40]!r}, while the path names version {version[:20]}")
            return self._routing.route("", arm).model
        if not version:
            return self._routing.champion()
        found = self._routing.loaded().get(version)
        if found is None:
            have = ", ".join(sorted(self._routing.loaded()))
            raise NotFound("version", f"{name}@{version}"[:80], f"loaded are {have}")
        return found

    def ready(self) -> bool:
        """Whether a champion is loaded."""
        try:
            self._routing.champion()
        except Unavailable:
            return False
        return True

    def metadata(self, name: str, version: str = "") -> ModelMetadata:
        """Describe a model's tensors."""
        model = self.model(name, version)
        versions = (version,) if version else tuple(sorted(self._routing.loaded(), key=int))
        outputs = tuple(TensorSpec(output, DATATYPE, (-1, 1)) for output in OUTPUTS)
        return ModelMetadata(name, versions, PLATFORM, (TensorSpec(INPUT, DATATYPE, (-1, model.onnx.width)),), outputs)

    def infer(
        self,
        model: LoadedModel,
        inputs: Mapping[str, Tensor],
        call: Call,
        wanted: Sequence[str] = (),
        *,
        request_id: str = "",
    ) -> dict[str, Tensor] | Awaitable[dict[str, Tensor]]:
        """Run a version on ``features`` float32 [n, width]; gives the wanted outputs (all, if none), [n, 1].

        `request_id` is the caller's own, for the prediction log.

        Raises InvalidInput for another tensor, another shape, more than 512 rows, or a row the model has no number for.
        """
        unknown = [name for name in wanted if name not in OUTPUTS]
        if unknown:
            raise InvalidInput("outputs", f"the model has no output {unknown[0][:80]!r}, it has {', '.join(OUTPUTS)}")
        if set(inputs) != {INPUT}:
            raise InvalidInput("inputs", f"found {sorted(inputs)}, expected the one tensor {INPUT!r}")
        call.arm = self._routing.arm_of(model)
        matrix = inputs[INPUT]
        if matrix.ndim != 2 or matrix.shape[1] != model.onnx.width:  # noqa: PLR2004 - rows and entries
            raise InvalidInput("inputs[0].shape", f"is {list(matrix.shape)}, must be [n, {model.onnx.width}]")
        check_rows(matrix)
        outputs = run(model.onnx, matrix, call)
        if isinstance(outputs, tuple):
            self._keep(model, matrix, outputs, call, request_id)
            return _named(outputs, wanted)
        return self._later(model, matrix, outputs, wanted, call=call, request_id=request_id)

    async def _later(
        self,
        model: LoadedModel,
        matrix: Tensor,
        outputs: Awaitable[Outputs],
        wanted: Sequence[str],
        *,
        call: Call,
        request_id: str,
    ) -> dict[str, Tensor]:
        found = await outputs
        self._keep(model, matrix, found, call, request_id)
        return _named(found, wanted)

    def _keep(self, model: LoadedModel, matrix: Tensor, outputs: Outputs, call: Call, request_id: str) -> None:
        """Log an answer; raises InvalidInput where it is none."""
        answers = np.array(outputs)
        if not np.isfinite(answers[0]).all():
            row = int(np.argmin(np.isfinite(answers[0])))
            raise InvalidInput("inputs[0].data", f"row {row} gives no finite answer")
        at, generation = self._clock.now(), self._routing.table.generation
        self._log(infer_record(model, matrix, answers, call, request_id=request_id, at=at, generation=generation))


def _named(outputs: Outputs, wanted: Sequence[str]) -> dict[str, Tensor]:
    answers = dict(zip(OUTPUTS, outputs, strict=True))
    return {name: answers[name].reshape(-1, 1) for name in (wanted or OUTPUTS)}


def check_rows(matrix: Matrix) -> None:
    """Refuse an empty and an oversize batch."""
    if not 1 <= len(matrix) <= MAX_TRIPS:
        raise InvalidInput("inputs[0].shape", f"has {len(matrix)} rows, must have 1 to {MAX_TRIPS}")


def tensor(field: str, datatype: str, shape: Sequence[int], data: npt.ArrayLike | array[float]) -> Tensor:
    """Shape flat or nested numbers as float32; raises InvalidInput where datatype, count and shape don't fit."""
    if datatype != DATATYPE:
        raise InvalidInput(f"{field}.datatype", f"is {datatype[:20]!r}, must be {DATATYPE!r}")
    if len(shape) > 8 or any(not 1 <= size <= 1 << 24 for size in shape):  # noqa: PLR2004 - no model has such
        raise InvalidInput(f"{field}.shape", "has a size that no model takes")
    if isinstance(data, array):
        flat = np.frombuffer(data, dtype=np.float32)
    else:
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which trees compare like any
            flat = np.asarray(data, dtype=np.float32).reshape(-1)
    count = math.prod(shape)
    if flat.size != count:
        raise InvalidInput(f"{field}.data", f"has {flat.size} numbers, shape {list(shape)} asks for {count}")
    return flat.reshape(tuple(shape))


def raw_tensor(field: str, datatype: str, shape: Sequence[int], raw: bytes) -> Tensor:
    """Shape little-endian bytes as float32; raises InvalidInput where they don't fit."""
    if len(raw) % 4:
        raise InvalidInput(f"{field}.data", f"has {len(raw)} bytes, must be a multiple of 4")
    return tensor(field, datatype, shape, np.frombuffer(raw, dtype="<f4"))
