"""Open Inference Protocol V2 on the tiny model, by its two encodings."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.errors import InvalidInput, NotFound
from serving.call import Call
from serving.inference import InferenceService
from serving.inference_http import model_metadata, read, write
from tests.serving.conftest import Replica


@pytest.fixture
def service(replica: Replica) -> InferenceService:
    """The protocol's use case on a ready replica."""
    return replica.inference


def run(service: InferenceService, request: bytes, json_size: int | None) -> tuple[bytes, int]:
    """Answer a request for the champion."""
    model, asked = service.model("eta"), read(request, json_size)
    outputs = service.infer(model, asked.tensors, Call(), tuple(asked.wanted))
    assert isinstance(outputs, dict)
    return write(model, asked, outputs)


def body(data: Any, shape: list[int], **more: Any) -> bytes:
    """A request with the one input tensor."""
    tensor = {"name": "features", "shape": shape, "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


@pytest.mark.parametrize("data", [[500.0, 0, None, 1000, 0, None], [[500.0, 0, None], [1000, 0, None]]])
def test_numbers_may_be_flat_or_by_row(service: InferenceService, data: Any) -> None:
    """Both forms give the model's answers; null is an absent value."""
    answer, json_size = run(service, body(data, [2, 3], id="a"), None)
    decoded = json.loads(answer)
    assert json_size == -1
    assert (decoded["model_name"], decoded["model_version"], decoded["id"]) == ("eta", "1", "a")
    assert [output["name"] for output in decoded["outputs"]] == ["eta_s", "low_s", "high_s"]
    assert decoded["outputs"][0] == {"name": "eta_s", "datatype": "FP32", "shape": [2, 1], "data": [245.0, 370.0]}


def test_binary_tensors_in_and_out(service: InferenceService) -> None:
    """Bytes after the JSON are the tensor, and come back the same way when asked for."""
    raw = np.array([[500, 0, 0]], dtype="<f4").tobytes()
    head = {
        "inputs": [
            {"name": "features", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
        ],
        "outputs": [{"name": "eta_s", "parameters": {"binary_data": True}}],
    }
    encoded = json.dumps(head).encode()
    answer, json_size = run(service, encoded + raw, len(encoded))
    assert json.loads(answer[:json_size])["outputs"][0]["parameters"] == {"binary_data_size": 4}
    assert np.frombuffer(answer[json_size:], dtype="<f4").tolist() == [245.0]


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        (body([1.0], [1, 3]), "inputs[0].data"),
        (body([1.0], [1, 1]), "inputs[0].shape"),
        (body([], [0, 3]), "inputs[0].shape"),
        (body([0.0] * 3 * 513, [513, 3]), "inputs[0].shape"),
        (body([], [1 << 24, 1 << 24, 1 << 16]), "inputs[0].data"),  # 2^64 numbers
        (body([], [0, 1 << 24, 1 << 24, 1 << 24]), "inputs[0].shape"),
        (body([1.0] * 3, [3, -1]), "inputs[0].shape"),
        (body([1.0] * 3, [1, 3], outputs=[{"name": "x"}]), "outputs"),
        (body(["a"] * 3, [1, 3]), "inputs[0].data"),
        (body([None] * 3, [1, 3]), "inputs[0].data"),
        (body([1.0] * 3, [1, 3]).replace(b"FP32", b"INT8"), "inputs[0].datatype"),
        (body([1.0] * 3, [1, 3]).replace(b"features", b"x"), "inputs"),
        (json.dumps({"inputs": []}).encode(), "inputs"),
    ],
)
def test_a_wrong_tensor_is_refused_by_name(service: InferenceService, request_body: bytes, field: str) -> None:
    """Each way of being wrong names its field."""
    with pytest.raises(InvalidInput) as caught:
        run(service, request_body, None)
    assert caught.value.field == field


@pytest.mark.parametrize("size", [-1, 10_000])
def test_a_json_size_beyond_the_body_is_refused(service: InferenceService, size: int) -> None:
    """The header that parts JSON from bytes is checked."""
    with pytest.raises(InvalidInput):
        run(service, body([1.0] * 3, [1, 3]), size)


def test_broken_json_is_told(service: InferenceService) -> None:
    """What msgspec says is left to the caller, who knows the words for it."""
    with pytest.raises(msgspec.DecodeError):
        run(service, b"{", None)


@pytest.mark.parametrize(("name", "version"), [("nope", ""), ("eta", "9"), ("eta", "x")])
def test_unknown_models_and_versions(service: InferenceService, name: str, version: str) -> None:
    """A name or a version that is not loaded is not found."""
    with pytest.raises(NotFound):
        service.model(name, version)


def test_metadata_tells_the_tensors(service: InferenceService) -> None:
    """Names, types and shapes of the one input and the three outputs."""
    told = json.loads(model_metadata(service, "eta", ""))
    assert told["versions"] == ["1"]
    assert told["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 3]}]
    assert [output["name"] for output in told["outputs"]] == ["eta_s", "low_s", "high_s"]
