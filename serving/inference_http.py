"""Open Inference Protocol V2 over HTTP: JSON and the binary tensor extension, to and from `InferenceService`."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from contracts.errors import InvalidInput
from contracts.messages import Id
from serving.artifacts import LoadedModel
from serving.inference import DATATYPE, EXTENSIONS, SERVER, InferenceService, Tensor, raw_tensor, tensor
from serving.intake import BINARY_HEADER

Parameters = dict[str, Any]
Outputs = dict[str, Tensor]


class InferInput(Struct, frozen=True):
    """One input tensor; `data` is absent where its bytes follow the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: Raw | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET


class RequestedOutput(Struct, frozen=True):
    """One output that the caller wants."""

    name: str
    parameters: Parameters | UnsetType = UNSET


class InferRequest(Struct, frozen=True):
    """The JSON part of an infer request; the protocol lets servers leave unknown parameters alone."""

    inputs: list[InferInput]
    id: Id | UnsetType = UNSET
    outputs: list[RequestedOutput] | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET


class InferOutput(Struct, frozen=True):
    """One output tensor."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float] | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET


class InferResponse(Struct, frozen=True):
    """The JSON part of an answer."""

    model_name: str
    model_version: str
    outputs: list[InferOutput]
    id: str | UnsetType = UNSET


_REQUEST: Final = msgspec.json.Decoder(InferRequest)
_FLAT: Final = msgspec.json.Decoder(list[float | None])  # null is how JSON says NaN: an absent value
_NESTED: Final = msgspec.json.Decoder(list[list[float | None]])
_ENCODE: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Asked:
    """An infer request as tensors, and what its caller wants of the answer."""

    request: InferRequest
    tensors: dict[str, Tensor]
    wanted: dict[str, RequestedOutput]


def read(body: bytes, json_size: int | None) -> Asked:
    """Decode a request; `json_size` is what it says of its own JSON part. Raises InvalidInput or msgspec's errors."""
    if json_size is not None and not 0 <= json_size <= len(body):
        raise InvalidInput(BINARY_HEADER.decode(), f"is {json_size}, the body has {len(body)} bytes")
    request = _REQUEST.decode(body if json_size is None else body[:json_size])
    tensors = _inputs(request, b"" if json_size is None else body[json_size:])
    wanted = {} if request.outputs is UNSET else {output.name: output for output in request.outputs}
    return Asked(request, tensors, wanted)


def write(model: LoadedModel, asked: Asked, answers: Outputs) -> tuple[bytes, int]:
    """Encode the answer; returns the body and the length of its JSON part (-1 where it is all JSON)."""
    request, wanted = asked.request, asked.wanted
    all_binary = _flag(request.parameters, "binary_data_output")
    outputs, tail = [], []
    for output, values in answers.items():
        binary = _flag(wanted[output].parameters, "binary_data", default=all_binary) if wanted else all_binary
        if binary:
            tail.append(values.astype("<f4", copy=False).tobytes())
            size = {"binary_data_size": len(tail[-1])}
            outputs.append(InferOutput(output, DATATYPE, list(values.shape), parameters=size))
        else:
            outputs.append(InferOutput(output, DATATYPE, list(values.shape), data=values.ravel().tolist()))
    head = _ENCODE(InferResponse(model.manifest.model, str(model.manifest.version), outputs, request.id))
    return (head + b"".join(tail), len(head)) if tail else (head, -1)


def server_metadata(version: str) -> bytes:
    """`GET /v2`."""
    return _ENCODE({"name": SERVER, "version": version, "extensions": EXTENSIONS})


def model_metadata(service: InferenceService, name: str, version: str) -> bytes:
    """`GET /v2/models/{name}[/versions/{version}]`."""
    found = service.metadata(name, version)
    return _ENCODE(
        {
            "name": found.name,
            "versions": found.versions,
            "platform": found.platform,
            "inputs": [msgspec.to_builtins(spec) for spec in found.inputs],
            "outputs": [msgspec.to_builtins(spec) for spec in found.outputs],
        }
    )


def _inputs(request: InferRequest, tail: bytes) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    at = 0
    for i, given in enumerate(request.inputs):
        field = f"inputs[{i}]"
        if given.name in tensors:
            raise InvalidInput(f"{field}.name", f"{given.name[:80]!r} repeats")
        if given.data is UNSET:
            size = given.parameters.get("binary_data_size") if isinstance(given.parameters, dict) else None
            if type(size) is not int or not 0 <= size <= len(tail) - at:
                raise InvalidInput(f"{field}.data", "is missing, and no binary_data_size says which bytes it is")
            tensors[given.name] = raw_tensor(field, given.datatype, given.shape, tail[at : at + size])
            at += size
        else:
            tensors[given.name] = tensor(field, given.datatype, given.shape, _numbers(field, given.data))
    if at != len(tail):
        raise InvalidInput("inputs", f"{len(tail) - at} binary bytes belong to no input")
    return tensors


def _numbers(field: str, data: Raw) -> Any:
    try:
        flat = _FLAT.decode(data)
    except msgspec.ValidationError:
        pass
    else:
        try:
            return array("f", flat)  # raises for None
        except TypeError:
            return np.array(flat, dtype=np.float64)
    try:
        rows = _NESTED.decode(data)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{field}.data", f"must be an array of numbers, flat or by row: {error}") from None
    return [math.nan if value is None else value for row in rows for value in row]


def _flag(parameters: Parameters | UnsetType, name: str, *, default: bool = False) -> bool:
    return bool(parameters.get(name, default)) if isinstance(parameters, dict) else default
