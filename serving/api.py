"""HTTP in and out, and statuses; a raw ASGI application, since a framework would cost more than the model.

What answers the requests comes in as protocols, so that the application runs without Ray, a store or a model.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol, TypeVar

import msgspec

from contracts.errors import InvalidInput, Unavailable
from contracts.messages import (
    MAX_BODY_BYTES,
    EtaRequest,
    EtaResponse,
    OutcomesRequest,
    OutcomesResponse,
)
from serving.docs_page import DOCS_HTML, INDEX_HTML
from serving.openapi import openapi_document
from serving.problems import PROBLEM_JSON, Refused, decode_error, encode_problem
from serving.telemetry import Telemetry

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

_JSON: Final = b"application/json"
_HTML: Final = b"text/html; charset=utf-8"
_LOG: Final = logging.getLogger(__name__)


class Estimator(Protocol):
    """The ETA use case."""

    async def estimate(self, request: EtaRequest) -> EtaResponse:
        """Answer every trip, or raise InvalidInput."""
        ...

    async def check(self) -> None:
        """Make a real prediction; raises Unavailable where the model does not answer it."""
        ...


class OutcomeSink(Protocol):
    """Where outcomes are kept."""

    async def record(self, request: OutcomesRequest) -> OutcomesResponse:
        """Keep them for good, then return the counts."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """A response before it is sent."""

    status: int
    body: bytes
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Api:
    """The ASGI application of one replica."""

    def __init__(self, estimator: Estimator, outcomes: OutcomeSink, telemetry: Telemetry) -> None:
        self._estimator = estimator
        self._outcomes = outcomes
        self._telemetry = telemetry
        self._eta_decoder = msgspec.json.Decoder(EtaRequest)
        self._outcomes_decoder = msgspec.json.Decoder(OutcomesRequest)
        self._encode = msgspec.json.Encoder().encode
        self._openapi = msgspec.json.encode(openapi_document())
        self.draining = False
        self._routes: dict[str, tuple[str, Callable[[Scope, Receive], Awaitable[Answer]]]] = {
            "/v1/eta": ("POST", self._eta),
            "/v1/outcomes": ("POST", self._record),
            "/healthz": ("GET", self._health),
            "/readyz": ("GET", self._ready),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": ("GET", self._static(self._openapi, _JSON)),
            "/docs": ("GET", self._static(DOCS_HTML, _HTML)),
            "/": ("GET", self._static(INDEX_HTML, _HTML)),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event; anything but HTTP is left alone."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        started = self._telemetry.started()
        answer = await self._answer(path, scope, receive)
        self._telemetry.finished(path if path in self._routes else "unknown", answer.status, started)
        headers: Headers = [
            (b"content-type", answer.content_type),
            (b"content-length", b"%d" % len(answer.body)),
            *answer.headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._dispatch(path, scope, receive)
        except InvalidInput as error:
            return _problem(422 if error.field else 400, error.message, error.field)
        except Refused as refused:
            return _problem(refused.status, refused.detail, headers=refused.headers)
        except Unavailable as error:
            return _problem(503, str(error), headers=((b"retry-after", b"1"),))
        except Exception:  # noqa: BLE001 - the last line of defence: whatever it is, the caller gets a document
            _LOG.exception("%s %s failed", scope["method"], path)
            return _problem(500, "the server failed; its log has the cause")

    async def _dispatch(self, path: str, scope: Scope, receive: Receive) -> Answer:
        if path not in self._routes:
            return _problem(404, f"no route {path[:200]!r}; /openapi.json lists them")
        method, handler = self._routes[path]
        if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
            return _other_method(scope["method"], method)
        return await handler(scope, receive)

    async def _eta(self, scope: Scope, receive: Receive) -> Answer:
        request = self._decode(self._eta_decoder, await _body(scope, receive))
        return Answer(200, self._encode(await self._estimator.estimate(request)))

    async def _record(self, scope: Scope, receive: Receive) -> Answer:
        request = self._decode(self._outcomes_decoder, await _body(scope, receive))
        return Answer(200, self._encode(await self._outcomes.record(request)))

    async def _health(self, _scope: Scope, _receive: Receive) -> Answer:
        return Answer(200, b'{"status":"alive"}')

    async def _ready(self, _scope: Scope, _receive: Receive) -> Answer:
        if self.draining:
            raise Unavailable("replica", "draining")
        await self._estimator.check()
        return Answer(200, b'{"status":"ready"}')

    async def _metrics(self, _scope: Scope, _receive: Receive) -> Answer:
        body, content_type = self._telemetry.exposition()
        return Answer(200, body, content_type)

    @staticmethod
    def _static(body: bytes, content_type: bytes) -> Callable[[Scope, Receive], Awaitable[Answer]]:
        answer = Answer(200, body, content_type)

        async def serve(_scope: Scope, _receive: Receive) -> Answer:
            return answer

        return serve

    @staticmethod
    def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise decode_error(error, body) from None


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Read a JSON body; raises Refused for another type (415) or one over the limit (413), and stops reading there."""
    _check_headers(dict(scope["headers"]))
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > MAX_BODY_BYTES:
            raise _too_large(f"{len(body)} bytes")
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the request ended before its body")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise _too_large("longer")
    return b"".join(chunks)


def _check_headers(headers: dict[bytes, bytes]) -> None:
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.strip().lower() != b"identity":
        raise Refused(415, f"content-encoding is {_text(encoding)!r}, send plain JSON")
    content_type = headers.get(b"content-type", b"")
    if content_type != _JSON and not _is_json(content_type):
        raise Refused(415, f"content-type is {_text(content_type)!r}, must be 'application/json'")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > MAX_BODY_BYTES:
        raise _too_large(f"{_text(length)} bytes")


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    return kind.strip().lower() == _JSON and charset in (b"", b"charset=utf-8")


def _text(value: bytes) -> str:
    return value[:100].decode("latin-1")


def _too_large(size: str) -> Refused:
    # The rest of the body stays unread, so the connection can't carry another request.
    return Refused(
        413, f"the body is {size}, at most {MAX_BODY_BYTES} bytes are read", headers=((b"connection", b"close"),)
    )


def _other_method(method: str, allowed: str) -> Answer:
    names = b"GET, HEAD, OPTIONS" if allowed == "GET" else b"POST, OPTIONS"
    allow = ((b"allow", names),)
    if method == "OPTIONS":
        return Answer(204, b"", headers=allow)
    return _problem(405, f"method {method[:20]} is not allowed here, only {names.decode()}", headers=allow)


def _problem(status: int, detail: str, field: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    return Answer(status, encode_problem(status, detail, field), PROBLEM_JSON, headers)
