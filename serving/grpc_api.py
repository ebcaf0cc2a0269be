"""The same use cases over gRPC: Open Inference Protocol V2, `tandem.v1.EtaService` and the standard health service.

`more` brings others, such as `grpc_dispatch`'s; they have a queue of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import grpc
import msgspec
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from contracts.errors import Declined, InvalidInput, NotFound, TandemError, Unavailable
from contracts.messages import MAX_BODY_BYTES, EtaRequest, EtaResponse
from serving.admission import PATIENCE, Admission, Overloaded
from serving.call import Call
from serving.inference import DATATYPE, EXTENSIONS, SERVER, InferenceService, Tensor, raw_tensor, tensor
from serving.proto import open_inference_pb2 as oip
from serving.proto import tandem_pb2 as tandem
from serving.telemetry import Telemetry

_LOG: Final = logging.getLogger(__name__)
_CODES: Final[dict[type[TandemError], grpc.StatusCode]] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Declined: grpc.StatusCode.FAILED_PRECONDITION,
}
Rpc = Callable[[Any, Call], Awaitable[Message]]
Rpcs = Mapping[str, tuple[Rpc, type[Message]]]
Context = Any  # grpc.aio.ServicerContext
T = TypeVar("T")


class Estimator(Protocol):
    """The ETA use case."""

    def estimate(self, request: EtaRequest, call: Call) -> EtaResponse | Awaitable[EtaResponse]:
        """Answer every trip within the call's deadline, or raise InvalidInput."""
        ...


class GrpcApi:
    """Handlers of one replica; `server_version` is Tandem's own."""

    def __init__(
        self,
        estimator: Estimator,
        inference: InferenceService,
        admission: Admission,
        telemetry: Telemetry,
        *,
        queue_s: float,
        more: Mapping[str, Rpcs] | None = None,
    ) -> None:
        self._estimator = estimator
        self._inference = inference
        self._admission = admission
        self._telemetry = telemetry
        self._queue_s = queue_s
        self._more = more or {}

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Every service, for `grpc.aio.Server.add_generic_rpc_handlers`."""
        return [
            self._service(
                "inference.GRPCInferenceService",
                ServerLive=(self._live, oip.ServerLiveRequest),
                ServerReady=(self._ready, oip.ServerReadyRequest),
                ModelReady=(self._model_ready, oip.ModelReadyRequest),
                ServerMetadata=(self._server_metadata, oip.ServerMetadataRequest),
                ModelMetadata=(self._model_metadata, oip.ModelMetadataRequest),
                ModelInfer=(self._infer, oip.ModelInferRequest),
            ),
            self._service("tandem.v1.EtaService", Predict=(self._predict, tandem.PredictRequest)),
            self._service("grpc.health.v1.Health", Check=(self._health, health_pb2.HealthCheckRequest)),
            *(self._service(name, **rpcs) for name, rpcs in self._more.items()),
        ]

    async def _predict(self, request: tandem.PredictRequest, call: Call) -> Message:
        estimated = self._estimator.estimate(_eta_request(request), call)
        answer = estimated if isinstance(estimated, EtaResponse) else await estimated
        etas = (
            tandem.Eta(**{k: v for k, v in msgspec.structs.asdict(eta).items() if v is not msgspec.UNSET})
            for eta in answer.etas
        )
        return tandem.PredictResponse(request_id=answer.request_id, etas=etas)

    async def _live(self, _: oip.ServerLiveRequest, _call: Call) -> Message:
        return oip.ServerLiveResponse(live=True)

    async def _ready(self, _: oip.ServerReadyRequest, _call: Call) -> Message:
        return oip.ServerReadyResponse(ready=self._inference.ready())

    async def _model_ready(self, request: oip.ModelReadyRequest, _call: Call) -> Message:
        self._inference.model(request.name, request.version)
        return oip.ModelReadyResponse(ready=True)

    async def _server_metadata(self, _: oip.ServerMetadataRequest, _call: Call) -> Message:
        return oip.ServerMetadataResponse(name=SERVER, version=version("tandem"), extensions=EXTENSIONS)

    async def _model_metadata(self, request: oip.ModelMetadataRequest, _call: Call) -> Message:
        found = self._inference.metadata(request.name, request.version)
        spec = oip.ModelMetadataResponse.TensorMetadata
        return oip.ModelMetadataResponse(
            name=found.name,
            versions=found.versions,
            platform=found.platform,
            inputs=[spec(name=t.name, datatype=t.datatype, shape=t.shape) for t in found.inputs],
            outputs=[spec(name=t.name, datatype=t.datatype, shape=t.shape) for t in found.outputs],
        )

    async def _infer(self, request: oip.ModelInferRequest, call: Call) -> Message:
        model = self._inference.model(request.model_name, request.model_version)
        wanted = tuple(output.name for output in request.outputs)
        inferred = self._inference.infer(model, _inputs(request), call, wanted, request_id=request.id)
        answers = inferred if isinstance(inferred, dict) else await inferred
        response = oip.ModelInferResponse(
            model_name=request.model_name, model_version=str(model.manifest.version), id=request.id
        )
        for name, values in answers.items():
            output = response.outputs.add(name=name, datatype=DATATYPE, shape=values.shape)
            if request.raw_input_contents:  # answered in the form it was asked in
                response.raw_output_contents.append(values.astype("<f4", copy=False).tobytes())
            else:
                output.contents.fp32_contents.extend(values.ravel().tolist())
        return response

    async def _health(self, request: health_pb2.HealthCheckRequest, _call: Call) -> Message:
        known = ("", "tandem.v1.EtaService", "inference.GRPCInferenceService", *self._more)
        if request.service not in known:
            raise NotFound("service", request.service[:80], f"there are {', '.join(known[1:])}")
        kind = health_pb2.HealthCheckResponse
        answer: Message = kind(status=kind.SERVING if self._inference.ready() else kind.NOT_SERVING)
        return answer

    def _service(self, name: str, **rpcs: tuple[Rpc, type[Message]]) -> grpc.GenericRpcHandler:
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(
                self._guarded(f"/{name}/{method}", rpc),
                request_deserializer=request.FromString,
                response_serializer=_serialize,
            )
            for method, (rpc, request) in rpcs.items()
        }
        return grpc.method_handlers_generic_handler(name, handlers)

    def _guarded(self, path: str, rpc: Rpc) -> Callable[[Any, Context], Awaitable[Message]]:
        """Let a call in, and map domain errors to status codes, as `api` maps them to HTTP's."""
        works = path.endswith(("/Predict", "/ModelInfer"))

        async def run(request: Any, context: Context) -> Message:
            call = Call()
            left_s = context.time_remaining()
            if left_s is not None:
                call.deadline = call.started + left_s
            refusal = self._admission.enter(deadline_s=min(self._queue_s, PATIENCE * call.left_s())) if works else None
            if refusal is not None:
                code = grpc.StatusCode.RESOURCE_EXHAUSTED
                self._telemetry.turned_away(refusal)
                self._telemetry.finished(path, code.name, time.perf_counter() - call.started)
                words = f"overloaded ({refusal}); try again in {self._admission.retry_after_s()} s"
                await context.abort(code, words)
            code, words = grpc.StatusCode.OK, ""
            try:
                return await rpc(request, call)
            except Overloaded as error:
                self._telemetry.turned_away(error.refusal)
                code, words = grpc.StatusCode.RESOURCE_EXHAUSTED, f"{error}, in {error.retry_after_s} s"
            except TandemError as error:
                code, words = _CODES.get(type(error), grpc.StatusCode.INTERNAL), str(error)
            except Exception:  # noqa: BLE001 - the last line of defence: logged, and told as INTERNAL
                _LOG.exception("%s failed", path)
                code, words = grpc.StatusCode.INTERNAL, "the server failed; its log has the cause"
            finally:
                spent = time.perf_counter() - call.started
                if works:
                    self._admission.leave(spent, spent - call.waited_s)
                    self._telemetry.called(call)
                self._telemetry.finished(path, code.name, spent)
            await context.abort(code, words)
            raise AssertionError("abort raises")

        return run


async def serve(handlers: list[grpc.GenericRpcHandler], path: Path, grace_s: float) -> None:
    """Serve on a unix socket until cancelled; what has begun may finish within the grace."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_BODY_BYTES), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(grace_s)


def _serialize(message: Message) -> bytes:
    return bytes(message.SerializeToString())


def _eta_request(request: tandem.PredictRequest) -> EtaRequest:
    trips: list[dict[str, Any]] = []
    for trip in request.trips:
        given: dict[str, Any] = {"pickup": place_of(trip.pickup), "dropoff": place_of(trip.dropoff)}
        if trip.id:
            given["id"] = trip.id
        if trip.HasField("at"):
            try:
                given["at"] = datetime.fromtimestamp(trip.at.seconds + trip.at.nanos / 1e9, UTC)
            except (OverflowError, ValueError, OSError):
                words = f"{trip.at.seconds} seconds is no date"
                raise InvalidInput(f"trips[{len(trips)}].at", words) from None
        trips.append(given)
    whole: dict[str, Any] = {"trips": trips}
    if request.unit:
        whole["unit"] = request.unit
    return converted(whole, EtaRequest)


def converted(whole: dict[str, Any], kind: type[T]) -> T:
    """Read a message as if it were JSON, so that both transports have one set of rules and words."""
    try:
        return msgspec.convert(whole, kind)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$.")
        raise InvalidInput(path.rstrip("`"), words) from None


def place_of(place: tandem.Place) -> dict[str, Any]:
    """A place as it would stand in JSON."""
    kind = place.WhichOneof("place")
    if kind == "zone":
        return {"zone": place.zone}
    return {"lat": place.point.lat, "lon": place.point.lon} if kind else {}


def _inputs(request: oip.ModelInferRequest) -> dict[str, Tensor]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput("raw_input_contents", f"has {len(raw)} entries for {len(request.inputs)} inputs")
    tensors: dict[str, Tensor] = {}
    for i, given in enumerate(request.inputs):
        field = f"inputs[{i}]"
        if given.name in tensors:
            raise InvalidInput(f"{field}.name", f"{given.name[:80]!r} repeats")
        if raw:
            tensors[given.name] = raw_tensor(field, given.datatype, given.shape, raw[i])
        else:
            tensors[given.name] = tensor(field, given.datatype, given.shape, given.contents.fp32_contents)
    return tensors
