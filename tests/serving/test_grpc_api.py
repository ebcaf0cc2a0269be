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


ASSIGN = "/tandem.v1.DispatchService/Assign"


def rider(name: str, **given: Any) -> tandem.Rider:
    """A rider in zone 1."""
    return tandem.Rider(id=name, **({"pickup": tandem.Place(zone="1")} | given))


def driver(name: str, lon: float) -> tandem.Driver:
    """A driver in one of the squares."""
    return tandem.Driver(id=name, location=tandem.Place(point=tandem.Point(lat=40.755, lon=lon)))


@pytest.mark.anyio
async def test_assign_answers_as_http_does(replica: Replica, tmp_path: Path) -> None:
    """The same riders and drivers have the same assignment over both transports."""
    places = {"d0": -73.972, "d1": -73.986}
    body = {
        "riders": [{"id": "a", "pickup": {"zone": "1"}}],
        "drivers": [{"id": name, "location": {"lat": 40.755, "lon": lon}} for name, lon in places.items()],
    }
    http = (await replica.request("POST", "/v1/dispatch", json=body)).json()
    request = tandem.AssignRequest(riders=[rider("a")], drivers=[driver(*place) for place in places.items()])
    async with served(replica, tmp_path) as call:
        answer = await call(ASSIGN, request, tandem.AssignResponse)
    (pair,) = answer.assignments
    assert (pair.rider, pair.driver) == ("a", "d1")
    assert pair.pickup_eta_s == http["assignments"][0]["pickup_eta_s"]
    assert (answer.policy, answer.model, answer.source, answer.reason) == ("batch", "eta@1", "model", "")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (tandem.AssignRequest(), grpc.StatusCode.INVALID_ARGUMENT, "riders"),
        (
            tandem.AssignRequest(riders=[rider("a", waiting_s=float("nan"))], drivers=[driver("d", -73.98)]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "riders[0].waiting_s",
        ),
        (
            tandem.AssignRequest(riders=[rider("a")], drivers=[driver("d", 0.0)]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "drivers[0].location",
        ),
        (
            tandem.AssignRequest(riders=[rider("a")], drivers=[driver("d", -73.98)], policy="auction"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "policy",
        ),
    ],
)
async def test_a_wrong_assignment_names_its_field(
    replica: Replica, tmp_path: Path, request_: tandem.AssignRequest, code: grpc.StatusCode, words: str
) -> None:
    """As over HTTP."""
    async with served(replica, tmp_path) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(ASSIGN, request_, tandem.AssignResponse)
    assert caught.value.code() is code
    assert words in (caught.value.details() or "")


@pytest.mark.anyio
async def test_a_crowd_is_turned_away_and_a_service_is_known(replica: Replica, tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED where the queue is full; the health service knows DispatchService."""
    admission = replica.dispatch.dispatcher.admission
    admission.in_flight = int(admission.max_limit)
    request = tandem.AssignRequest(riders=[rider("a")], drivers=[driver("d", -73.98)])
    async with served(replica, tmp_path) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(ASSIGN, request, tandem.AssignResponse)
        asked = health_pb2.HealthCheckRequest(service="tandem.v1.DispatchService")
        health = await call("/grpc.health.v1.Health/Check", asked, health_pb2.HealthCheckResponse)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert health.status == health_pb2.HealthCheckResponse.SERVING
