"""HTTP's routes and statuses; no logic, and no framework, since one would cost more than the model.

What answers the requests comes in as protocols, so that the application runs without Ray, a store or a model. A handler
returns its answer at once where it can, and something to await where it has to wait.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Final, Protocol

import msgspec

from contracts.errors import InvalidInput, Unavailable
from contracts.messages import (
    EtaRequest,
    EtaResponse,
    OutcomesRequest,
    OutcomesResponse,
)
from serving import inference_http
from serving.admission import PATIENCE, Admission, Refusal
from serving.answers import failed, guarded, other_method
from serving.arm_override import ARM_HEADER, ArmOverride
from serving.artifacts import LoadedModel
from serving.call import Call
from serving.docs_page import DOCS_HTML, INDEX_HTML
from serving.exchange import JSON, Answer, Request
from serving.exposition import LOCAL_PATH
from serving.inference import InferenceService
from serving.intake import BINARY, BINARY_HEADER, check_type, deadline, decoded, json_size
from serving.openapi import openapi_document
from serving.problems import PROBLEM_JSON, Refused, decode_error, encode_problem
from serving.telemetry import Telemetry

Exposition = Callable[[], Awaitable[tuple[bytes, bytes]]]
"""Gives Prometheus' text and its content type."""
Handler = Callable[[Request, Call], Answer | Awaitable[Answer]]

_MODEL_PATH: Final = re.compile(r"/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?(/(?P<verb>infer|ready))?\Z")
_MODEL_ROUTES: Final = 64  # a caller may make up any number
_HTML: Final = b"text/html; charset=utf-8"
# Encoded beforehand: under overload most answers are these, and what they cost is taken from the others.
_REFUSALS: Final = {refusal: encode_problem(429, f"overloaded ({refusal}); try again later") for refusal in Refusal}


class Estimator(Protocol):
    """The ETA use case."""

    def estimate(self, request: EtaRequest, call: Call) -> EtaResponse | Awaitable[EtaResponse]:
        """Answer every trip within the call's deadline, or raise InvalidInput."""
        ...

    async def check(self) -> None:
        """Make a real prediction; raises Unavailable where the model does not answer it."""
        ...


class OutcomeSink(Protocol):
    """Where outcomes are kept."""

    async def record(self, request: OutcomesRequest, call: Call) -> OutcomesResponse:
        """Keep them for good, then return the counts."""
        ...


class Api:
    """The application of one replica, for `request_queue.RequestQueue`."""

    def __init__(
        self,
        estimator: Estimator,
        outcomes: OutcomeSink,
        inference: InferenceService,
        admission: Admission,
        telemetry: Telemetry,
        *,
        queue_s: float,
        exposition: Exposition | None = None,
        more: Mapping[str, tuple[str, Handler]] | None = None,
    ) -> None:
        self._estimator = estimator
        self._outcomes = outcomes
        self._inference = inference
        self._admission = admission
        self._telemetry = telemetry
        self._queue_s = queue_s
        self._exposition = exposition
        self._eta_decoder = msgspec.json.Decoder(EtaRequest)
        self._outcomes_decoder = msgspec.json.Decoder(OutcomesRequest)
        self._encode = msgspec.json.Encoder().encode
        self._openapi = msgspec.json.encode(openapi_document())
        self.draining = False
        self.override = ArmOverride(lambda _token: None)  # nobody's, until somebody knows tokens
        self._model_routes: dict[str, tuple[str, Handler]] = {}  # paths that were matched once
        server = inference_http.server_metadata(version("tandem"))
        self._routes: dict[str, tuple[str, Handler]] = {
            "/v1/eta": ("POST", self._eta),
            "/v1/outcomes": ("POST", self._record),
            "/v2": ("GET", self._static(server, JSON)),
            "/v2/health/live": ("GET", self._health),
            "/v2/health/ready": ("GET", self._ready),
            "/healthz": ("GET", self._health),
            "/readyz": ("GET", self._ready),
            "/metrics": ("GET", self._metrics),
            LOCAL_PATH: ("GET", self._own_metrics),
            "/openapi.json": ("GET", self._static(self._openapi, JSON)),
            "/docs": ("GET", self._static(DOCS_HTML, _HTML)),
            "/": ("GET", self._static(INDEX_HTML, _HTML)),
            **(more or {}),  # by path: the method and who answers
        }

    def arrived(self, request: Request) -> Answer | None:
        """See request_queue.Application: a request that works is counted in, or turned away before its turn."""
        if request.method != "POST":
            return None
        wait_s = self._queue_s
        if request.query:
            with contextlib.suppress(InvalidInput):  # told when its turn comes
                wait_s = min(wait_s, PATIENCE * (deadline(request) - request.arrived))
        refusal = self._admission.enter(deadline_s=wait_s)
        request.admitted = refusal is None
        return None if refusal is None else self._refuse(refusal)

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """See request_queue.Application."""
        call = request.call = Call()
        try:
            answer = self._dispatch(request, call)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            return failed(request, error)
        return answer if isinstance(answer, Answer) else guarded(request, answer)

    def answered(self, request: Request, answer: Answer) -> None:
        """Give the place back and count; a request that never had its turn held nothing up."""
        now, call = time.perf_counter(), request.call
        spent = now - request.arrived
        if request.admitted and call:
            self._admission.leave(spent, now - call.started - call.waited_s)
        elif request.admitted:
            self._admission.give_back()
        path = request.path
        label = path if path in self._routes else self._label(path)
        self._telemetry.finished(label, answer.status, spent)

    def _dispatch(self, request: Request, call: Call) -> Answer | Awaitable[Answer]:
        method = request.method
        allowed, handler = self._route(request.path)
        if method != allowed and not (allowed == "GET" and method == "HEAD"):
            return other_method(method, allowed)
        call.deadline = deadline(request)
        if call.left_s() <= 0:
            return self._refuse(Refusal.DEADLINE)
        return handler(request, call)

    def _route(self, path: str) -> tuple[str, Handler]:
        route = self._routes.get(path) or self._model_routes.get(path)
        if route is not None:
            return route
        match = _MODEL_PATH.match(path)
        if match:
            handlers = {None: ("GET", self._model), "infer": ("POST", self._infer), "ready": ("GET", self._model_ready)}
            method, handler = handlers[match["verb"]]
            route = method, handler(match["name"], match["version"] or "")
            if len(self._model_routes) < _MODEL_ROUTES:
                self._model_routes[path] = route
            return route
        raise Refused(404, f"no route {path[:200]!r}; /openapi.json lists them")

    def _label(self, path: str) -> str:
        """The route as metrics know it; a path that a caller made up must not become a series of its own."""
        if path.startswith("/v2/models/"):
            return "/v2/models/infer" if path.endswith("/infer") else "/v2/models"
        return "unknown"

    def _refuse(self, refusal: Refusal) -> Answer:
        self._telemetry.turned_away(refusal)
        wait = b"%d" % self._admission.retry_after_s()
        return Answer(429, _REFUSALS[refusal], PROBLEM_JSON, ((b"retry-after", wait),))

    def _eta(self, request: Request, call: Call) -> Answer | Awaitable[Answer]:
        check_type(request)
        if call.override is None and request.header(ARM_HEADER) is not None:
            return self.override.then(self._eta, request, call)
        answer = self._estimator.estimate(decoded(self._eta_decoder, request.body), call)
        if isinstance(answer, EtaResponse):
            return self._estimated(answer, call)
        return self._awaited(answer, call)

    async def _awaited(self, answer: Awaitable[EtaResponse], call: Call) -> Answer:
        return self._estimated(await answer, call)

    def _estimated(self, answer: EtaResponse, call: Call) -> Answer:
        self._telemetry.called(call)
        return Answer(200, self._encode(answer))

    def _infer(self, name: str, number: str) -> Handler:
        def infer(request: Request, call: Call) -> Answer | Awaitable[Answer]:
            if call.override is None and request.header(ARM_HEADER) is not None:
                return self.override.then(infer, request, call)
            model = self._inference.model(name, number, arm=call.override)
            check_type(request, binary=True)
            try:
                asked = inference_http.read(request.body, json_size(request))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise decode_error(error, request.body) from None
            request_id = asked.request.id or ""
            outputs = self._inference.infer(model, asked.tensors, call, tuple(asked.wanted), request_id=request_id)
            if isinstance(outputs, dict):
                return self._inferred(model, asked, outputs, call)
            return self._inferred_later(model, asked, outputs, call)

        return infer

    async def _inferred_later(
        self, model: LoadedModel, asked: inference_http.Asked, outputs: Awaitable[inference_http.Outputs], call: Call
    ) -> Answer:
        return self._inferred(model, asked, await outputs, call)

    def _inferred(
        self, model: LoadedModel, asked: inference_http.Asked, outputs: inference_http.Outputs, call: Call
    ) -> Answer:
        self._telemetry.called(call)
        answer, size = inference_http.write(model, asked, outputs)
        if size < 0:
            return Answer(200, answer)
        return Answer(200, answer, BINARY, ((BINARY_HEADER, b"%d" % size),))

    def _model(self, name: str, number: str) -> Handler:
        return lambda _request, _call: Answer(200, inference_http.model_metadata(self._inference, name, number))

    def _model_ready(self, name: str, number: str) -> Handler:
        def ready(_request: Request, _call: Call) -> Answer:
            self._inference.model(name, number)
            return Answer(200, b'{"ready":true}')

        return ready

    async def _record(self, request: Request, call: Call) -> Answer:
        check_type(request)
        outcomes = decoded(self._outcomes_decoder, request.body)
        return Answer(200, self._encode(await self._outcomes.record(outcomes, call)))

    def _health(self, _request: Request, _call: Call) -> Answer:
        return Answer(200, b'{"status":"alive"}')

    async def _ready(self, _request: Request, _call: Call) -> Answer:
        if self.draining:
            raise Unavailable("replica", "draining")
        await self._estimator.check()
        return Answer(200, b'{"status":"ready"}')

    async def _metrics(self, _request: Request, _call: Call) -> Answer:
        body, content_type = await self._exposition() if self._exposition else self._telemetry.exposition()
        return Answer(200, body, content_type)

    def _own_metrics(self, _request: Request, _call: Call) -> Answer:
        return Answer(200, self._telemetry.encoded())

    @staticmethod
    def _static(body: bytes, content_type: bytes) -> Handler:
        answer = Answer(200, body, content_type)
        return lambda _request, _call: answer
