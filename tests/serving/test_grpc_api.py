"""The gRPC services, called over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from serving.proto import open_inference_pb2 as oip
from serving.proto import tandem_pb2 as tandem
from tests.serving.conftest import Replica

Call = Callable[[str, Any, type[Any]], Awaitable[Any]]
PREDICT = "/tandem.v1.EtaService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"


@asynccontextmanager
async def served(replica: Replica, folder: Path) -> AsyncIterator[Call]:
    """A server on a unix socket and a way to call it."""
    address = f"unix:{folder / 'grpc.sock'}"
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(replica.grpc_api.handlers())
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:

        async def call(path: str, request: Any, answer: type[Any]) -> Any:
            rpc = channel.unary_unary(
                path, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
            )
            return await rpc(request)

        yield call
    await server.stop(None)


def trip(**given: Any) -> tandem.Trip:
    """A trip from zone 1 to zone 2."""
    places = {"pickup": tandem.Place(zone="1"), "dropoff": tandem.Place(zone="2")}
    return tandem.Trip(**(places | given))


@pytest.mark.anyio
async def test_predict_answers_as_http_does(replica: Replica, tmp_path: Path) -> None:
    """The same trip gives the same estimate over both transports."""
    http = (
        await replica.request("POST", "/v1/eta", json={"trips": [{"pickup": {"zone": "1"}, "dropoff": {"zone": "2"}}]})
    ).json()
    async with served(replica, tmp_path) as call:
        answer = await call(PREDICT, tandem.PredictRequest(trips=[trip()]), tandem.PredictResponse)
    (eta,) = answer.etas
    assert eta.eta_s == http["etas"][0]["eta_s"]
    assert (eta.model, eta.source, eta.reason) == ("eta@1", "model", "")
    assert answer.request_id


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (tandem.PredictRequest(), "trips"),
        (tandem.PredictRequest(trips=[trip(pickup=tandem.Place(zone="999"))]), "trips[0].pickup.zone"),
        (tandem.PredictRequest(trips=[trip(pickup=tandem.Place())]), "trips[0].pickup"),
        (tandem.PredictRequest(trips=[trip(pickup={"point": {"lat": float("nan")}})]), "trips[0].pickup"),
        (tandem.PredictRequest(trips=[trip(at={"seconds": 10**15})]), "trips[0].at"),
        (tandem.PredictRequest(trips=[trip(id="a"), trip(id="a")]), "trips[1].id"),
        (tandem.PredictRequest(trips=[trip()] * 513), "trips"),
    ],
)
async def test_a_wrong_request_names_its_field(
    replica: Replica, tmp_path: Path, request_: tandem.PredictRequest, words: str
) -> None:
    """INVALID_ARGUMENT, with the path of the field in the words."""
    async with served(replica, tmp_path) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(PREDICT, request_, tandem.PredictResponse)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (caught.value.details() or "")


@pytest.mark.anyio
@pytest.mark.parametrize("raw", [True, False])
async def test_infer_answers_in_the_form_it_was_asked_in(replica: Replica, tmp_path: Path, *, raw: bool) -> None:
    """Raw bytes for raw bytes, numbers for numbers."""
    request = oip.ModelInferRequest(model_name="eta", id="r")
    tensor = request.inputs.add(name="features", datatype="FP32", shape=[1, 3])
    if raw:
        request.raw_input_contents.append(np.array([500, 0, 0], dtype="<f4").tobytes())
    else:
        tensor.contents.fp32_contents.extend([500, 0, 0])
    async with served(replica, tmp_path) as call:
        answer = await call(INFER, request, oip.ModelInferResponse)
    assert (answer.model_version, answer.id) == ("1", "r")
    assert list(answer.outputs[0].shape) == [1, 1]
    found = np.frombuffer(answer.raw_output_contents[0], "<f4") if raw else answer.outputs[0].contents.fp32_contents
    assert list(found) == [245.0]


@pytest.mark.anyio
async def test_health_and_metadata(replica: Replica, tmp_path: Path) -> None:
    """The standard health service and the protocol's own calls say that the model is ready."""
    async with served(replica, tmp_path) as call:
        health = await call(
            "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
        )
        ready = await call(
            "/inference.GRPCInferenceService/ModelReady",
            oip.ModelReadyRequest(name="eta", version="1"),
            oip.ModelReadyResponse,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(
                "/inference.GRPCInferenceService/ModelMetadata",
                oip.ModelMetadataRequest(name="x"),
                oip.ModelMetadataResponse,
            )
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert ready.ready
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.anyio
async def test_a_refused_call_is_counted_with_the_answered(replica: Replica, tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED says when to try again, and the request counter knows of it."""
    replica.admission.limit = 0.0
    async with served(replica, tmp_path) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(PREDICT, tandem.PredictRequest(trips=[trip()]), tandem.PredictResponse)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "try again in 1 s" in (caught.value.details() or "")
    metrics = (await replica.request("GET", "/metrics")).text
    assert f'tandem_requests_total{{route="{PREDICT}",status="RESOURCE_EXHAUSTED"}} 1' in metrics
