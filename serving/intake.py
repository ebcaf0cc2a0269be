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
_MAX_DIGITS: Final = 18


def deadline(scope: Scope) -> float:
    """When the caller stops waiting (`deadline_ms` of the query), in `time.perf_counter` seconds."""
    if not scope["query_string"]:
        return math.inf
    given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    values = [value for name, value in given if name == "deadline_ms"]
    if not values:
        return math.inf
    number = _number(values[0]) if len(values) == 1 else None
    if number is None or not 1 <= number <= MAX_DEADLINE_MS:
        words = f"is {', '.join(values)[:100]!r}, must be one whole number from 1 to {MAX_DEADLINE_MS}"
        raise InvalidInput("deadline_ms", words)
    arrived: float = scope["arrived"]
    return arrived + number / 1000


def json_size(scope: Scope) -> int | None:
    """How much of an infer request is JSON, where tensors follow it."""
    for name, value in scope["headers"]:
        if name == BINARY_HEADER:
            size = _number(value.decode("latin-1"))
            if size is None or size > MAX_BODY_BYTES:
                words = f"is {_text(value)!r}, must be a number of bytes, at most {MAX_BODY_BYTES}"
                raise InvalidInput(name.decode(), words)
            return size
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


def _number(text: str) -> int | None:
    """Read a whole number of up to 18 digits: Python itself raises for thousands."""
    return int(text) if len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit() else None


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
