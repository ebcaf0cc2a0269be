"""HTTP in and out, and statuses; a raw ASGI application, since a framework would cost more than the model.

What answers the requests comes in as protocols, so that the application runs without Ray, a store or a model.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Final, Protocol, TypeVar

import msgspec

from contracts.errors import InvalidInput, NotFound, TandemError, Unavailable
from contracts.messages import (
    EtaRequest,
    EtaResponse,
    OutcomesRequest,
    OutcomesResponse,
)
from serving import inference_http
from serving.admission import Admission, Refusal
from serving.call import Call
from serving.docs_page import DOCS_HTML, INDEX_HTML
from serving.inference import InferenceService
from serving.intake import BINARY, JSON, Message, Receive, Scope, deadline, json_size, read_body
from serving.openapi import openapi_document
from serving.problems import PROBLEM_JSON, Refused, decode_error, encode_problem
from serving.telemetry import Telemetry

Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

_MODEL_PATH: Final = re.compile(r"/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?(/(?P<verb>infer|ready))?\Z")


_HTML: Final = b"text/html; charset=utf-8"
_LOG: Final = logging.getLogger(__name__)


class Estimator(Protocol):
    """The ETA use case."""

    async def estimate(self, request: EtaRequest, call: Call) -> EtaResponse:
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


class Answer(msgspec.Struct, frozen=True):
    """A response before it is sent."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[Scope, Receive, Call], Awaitable[Answer]]


class Api:
    """The ASGI application of one replica."""

    def __init__(
        self,
        estimator: Estimator,
        outcomes: OutcomeSink,
        inference: InferenceService,
        admission: Admission,
        telemetry: Telemetry,
        *,
        queue_s: float,
    ) -> None:
        self._estimator = estimator
        self._outcomes = outcomes
        self._inference = inference
        self._admission = admission
        self._telemetry = telemetry
        self._queue_s = queue_s
        self._eta_decoder = msgspec.json.Decoder(EtaRequest)
        self._outcomes_decoder = msgspec.json.Decoder(OutcomesRequest)
        self._encode = msgspec.json.Encoder().encode
        self._openapi = msgspec.json.encode(openapi_document())
        self.draining = False
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
            "/openapi.json": ("GET", self._static(self._openapi, JSON)),
            "/docs": ("GET", self._static(DOCS_HTML, _HTML)),
            "/": ("GET", self._static(INDEX_HTML, _HTML)),
        }

    def arrived(self, scope: Scope) -> None:
        """Count a request that came in, and decide whether it is let in; the listener calls it before its turn."""
        scope["arrived"] = time.perf_counter()
        if scope["method"] == "POST":
            scope["refusal"] = self._admission.enter(deadline_s=self._queue_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event; anything but HTTP is left alone."""
        if scope["type"] != "http":
            return
        if "arrived" not in scope:
            self.arrived(scope)
        call = Call()
        answer = Answer(500, b"")
        try:
            answer = await self._answer(scope, receive, call)
            headers: Headers = [
                (b"content-type", answer.content_type),
                (b"content-length", b"%d" % len(answer.body)),
                *answer.headers,
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
        finally:
            now = time.perf_counter()
            if scope.get("refusal", Refusal.LIMIT) is None:
                self._admission.leave(now - scope["arrived"], now - call.started - call.waited_s)
            self._telemetry.finished(self._label(scope["path"]), answer.status, now - scope["arrived"])

    async def _answer(self, scope: Scope, receive: Receive, call: Call) -> Answer:
        method, path = scope["method"], scope["path"]
        try:
            allowed, handler = self._route(path)
            if method != allowed and not (allowed == "GET" and method == "HEAD"):
                return _other_method(method, allowed)
            refusal = scope.get("refusal")
            if refusal is not None:
                return self._refuse(refusal)
            call.deadline = deadline(scope)
            if call.left_s() <= 0:
                return self._refuse(Refusal.DEADLINE)
            return await handler(scope, receive, call)
        except (Refused, TandemError) as error:
            return _explained(error, open_inference=path.startswith("/v2/"))
        except Exception:  # noqa: BLE001 - the last line of defence
            _LOG.exception("%s %s failed", method, path)
            return _problem(500, "the server failed; its log has the cause")

    def _route(self, path: str) -> tuple[str, Handler]:
        route = self._routes.get(path)
        if route is not None:
            return route
        match = _MODEL_PATH.match(path)
        if match:
            handlers = {None: ("GET", self._model), "infer": ("POST", self._infer), "ready": ("GET", self._model_ready)}
            method, handler = handlers[match["verb"]]
            return method, handler(match["name"], match["version"] or "")
        raise Refused(404, f"no route {path[:200]!r}; /openapi.json lists them")

    def _label(self, path: str) -> str:
        """The route as metrics know it; a path that a caller made up must not become a series of its own."""
        if path in self._routes:
            return path
        if path.startswith("/v2/models/"):
            return "/v2/models/infer" if path.endswith("/infer") else "/v2/models"
        return "unknown"

    def _refuse(self, refusal: Refusal) -> Answer:
        self._telemetry.turned_away(refusal)
        wait = b"%d" % self._admission.retry_after_s()
        return _problem(429, f"overloaded ({refusal}); try again later", headers=((b"retry-after", wait),))

    async def _eta(self, scope: Scope, receive: Receive, call: Call) -> Answer:
        request = self._decode(self._eta_decoder, await call.waiting(read_body(scope, receive)))
        answer = Answer(200, self._encode(await self._estimator.estimate(request, call)))
        self._telemetry.called(call)
        return answer

    def _infer(self, name: str, number: str) -> Handler:
        async def infer(scope: Scope, receive: Receive, call: Call) -> Answer:
            model = self._inference.model(name, number)
            body = await call.waiting(read_body(scope, receive, binary=True))
            try:
                answer, size = inference_http.infer(self._inference, model, body, json_size(scope), call)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise decode_error(error, body) from None
            self._telemetry.called(call)
            if size < 0:
                return Answer(200, answer)
            return Answer(200, answer, BINARY, ((inference_http.BINARY_HEADER, b"%d" % size),))

        return infer

    def _model(self, name: str, number: str) -> Handler:
        async def metadata(_scope: Scope, _receive: Receive, _call: Call) -> Answer:
            return Answer(200, inference_http.model_metadata(self._inference, name, number))

        return metadata

    def _model_ready(self, name: str, number: str) -> Handler:
        async def ready(_scope: Scope, _receive: Receive, _call: Call) -> Answer:
            self._inference.model(name, number)
            return Answer(200, b'{"ready":true}')

        return ready

    async def _record(self, scope: Scope, receive: Receive, call: Call) -> Answer:
        request = self._decode(self._outcomes_decoder, await call.waiting(read_body(scope, receive)))
        return Answer(200, self._encode(await self._outcomes.record(request, call)))

    async def _health(self, _scope: Scope, _receive: Receive, _call: Call) -> Answer:
        return Answer(200, b'{"status":"alive"}')

    async def _ready(self, _scope: Scope, _receive: Receive, _call: Call) -> Answer:
        if self.draining:
            raise Unavailable("replica", "draining")
        await self._estimator.check()
        return Answer(200, b'{"status":"ready"}')

    async def _metrics(self, _scope: Scope, _receive: Receive, _call: Call) -> Answer:
        body, content_type = self._telemetry.exposition()
        return Answer(200, body, content_type)

    @staticmethod
    def _static(body: bytes, content_type: bytes) -> Handler:
        answer = Answer(200, body, content_type)

        async def serve(_scope: Scope, _receive: Receive, _call: Call) -> Answer:
            return answer

        return serve

    @staticmethod
    def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise decode_error(error, body) from None


def _explained(error: Refused | TandemError, *, open_inference: bool) -> Answer:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    field, detail = "", str(error)
    match error:
        case Refused():
            status, headers = error.status, tuple(error.headers)
        case InvalidInput():
            status, field, detail = 422 if error.field else 400, error.field, error.message
        case NotFound():
            status = 404
        case Unavailable():
            status, headers = 503, ((b"retry-after", b"1"),)
        case _:
            status = 500
    return Answer(status, encode_problem(status, detail, field, open_inference=open_inference), PROBLEM_JSON, headers)


def _other_method(method: str, allowed: str) -> Answer:
    names = b"GET, HEAD, OPTIONS" if allowed == "GET" else b"POST, OPTIONS"
    allow = ((b"allow", names),)
    if method == "OPTIONS":
        return Answer(204, b"", headers=allow)
    return _problem(405, f"method {method[:20]} is not allowed here, only {names.decode()}", headers=allow)


def _problem(status: int, detail: str, field: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    return Answer(status, encode_problem(status, detail, field), PROBLEM_JSON, headers)
