"""A request as it comes in: its body, its deadline, and what its headers must say."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

from contracts.errors import InvalidInput
from contracts.messages import MAX_BODY_BYTES
from serving.inference_http import BINARY_HEADER
from serving.problems import Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

JSON: Final = b"application/json"
BINARY: Final = b"application/octet-stream"
MAX_DEADLINE_MS: Final = 60_000


def deadline(scope: Scope) -> float:
    """When the caller stops waiting (`deadline_ms` of the query), in `time.perf_counter` seconds."""
    if b"deadline_ms" not in scope["query_string"]:
        return math.inf
    values = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == "deadline_ms"]
    if len(values) != 1 or not values[0].isdecimal() or not 1 <= int(values[0]) <= MAX_DEADLINE_MS:
        raise InvalidInput("deadline_ms", f"is {values}, must be one whole number from 1 to {MAX_DEADLINE_MS}")
    arrived: float = scope["arrived"]
    return arrived + int(values[0]) / 1000


def json_size(scope: Scope) -> int | None:
    """How much of an infer request is JSON, where tensors follow it."""
    for name, value in scope["headers"]:
        if name == BINARY_HEADER:
            if not value.isdigit():
                raise InvalidInput(name.decode(), f"is {_text(value)!r}, must be a number of bytes")
            return int(value)
    return None


async def read_body(scope: Scope, receive: Receive, *, binary: bool = False) -> bytes:
    """Read a JSON body, or where `binary` a JSON head and tensors after it.

    Raises Refused for another type (415) or one over the limit (413), and stops reading there.
    """
    _check_headers(dict(scope["headers"]), binary=binary)
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


def _check_headers(headers: dict[bytes, bytes], *, binary: bool) -> None:
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.strip().lower() != b"identity":
        raise Refused(415, f"content-encoding is {_text(encoding)!r}, send plain JSON")
    content_type = headers.get(b"content-type", b"")
    # Clients of the Open Inference Protocol name no type for JSON.
    if content_type != JSON and not _is_json(content_type) and not (binary and content_type in (b"", BINARY)):
        raise Refused(415, f"content-type is {_text(content_type)!r}, must be 'application/json'")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > MAX_BODY_BYTES:
        raise _too_large(f"{_text(length)} bytes")


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    return kind.strip().lower() == JSON and charset in (b"", b"charset=utf-8")


def _text(value: bytes) -> str:
    return value[:100].decode("latin-1")


def _too_large(size: str) -> Refused:
    # The rest of the body stays unread, so the connection can't carry another request.
    return Refused(
        413, f"the body is {size}, at most {MAX_BODY_BYTES} bytes are read", headers=((b"connection", b"close"),)
    )
