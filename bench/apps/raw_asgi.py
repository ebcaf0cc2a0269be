"""The limit of table A: a raw ASGI function that speaks the Open Inference Protocol."""

from typing import Any

import msgspec
import numpy as np
from onnx_model import OUTPUTS, Model


class Tensor(msgspec.Struct):
    """An Open Inference tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(msgspec.Struct):
    """The part of the request that is read."""

    inputs: list[Tensor]


model = Model()
decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode


def answer(body: bytes) -> bytes:
    """From request to response: decode, run, encode."""
    (tensor,) = decode(body).inputs
    results = model.run(np.array(tensor.data, dtype=np.float32).reshape(tensor.shape))
    outputs = [
        {"name": name, "shape": [len(values), 1], "datatype": "FP32", "data": values[:, 0].tolist()}
        for name, values in zip(OUTPUTS, results, strict=True)
    ]
    return encode({"model_name": "eta", "outputs": outputs})


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer any POST as an inference request."""
    if scope["type"] != "http":
        return
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    content = answer(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
