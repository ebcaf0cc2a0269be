"""What a request says of itself: its deadline, the type of its body, how much of that is JSON."""

from __future__ import annotations

import math
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from contracts.errors import InvalidInput
from contracts.messages import MAX_BODY_BYTES
from serving.exchange import JSON, Request
from serving.problems import Refused, decode_error

BINARY: Final = b"application/octet-stream"
BINARY_HEADER: Final = b"inference-header-content-length"
MAX_DEADLINE_MS: Final = 60_000
_MAX_DIGITS: Final = 18
T = TypeVar("T")


def deadline(request: Request) -> float:
    """When the caller stops waiting (`deadline_ms` of the query), in `time.perf_counter` seconds."""
    if not request.query:
        return math.inf
    given = parse_qsl(request.query.decode("latin-1"), keep_blank_values=True)
    values = [value for name, value in given if name == "deadline_ms"]
    if not values:
        return math.inf
    number = _number(values[0]) if len(values) == 1 else None
    if number is None or not 1 <= number <= MAX_DEADLINE_MS:
        words = f"is {', '.join(values)[:100]!r}, must be one whole number from 1 to {MAX_DEADLINE_MS}"
        raise InvalidInput("deadline_ms", words)
    return request.arrived + number / 1000


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Read a body; raises InvalidInput with the field, or for broken JSON the byte."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise decode_error(error, body) from None


def json_size(request: Request) -> int | None:
    """How much of an infer request is JSON, where tensors follow it."""
    value = request.header(BINARY_HEADER)
    if value is None:
        return None
    size = _number(value.decode("latin-1"))
    if size is None or size > MAX_BODY_BYTES:
        words = f"is {_text(value)!r}, must be a number of bytes, at most {MAX_BODY_BYTES}"
        raise InvalidInput(BINARY_HEADER.decode(), words)
    return size


def check_type(request: Request, *, binary: bool = False) -> None:
    """Raise Refused (415) for a body that is neither JSON nor, where `binary`, a JSON head and tensors after it."""
    for name, value in request.headers:
        if name == b"content-encoding" and value.strip().lower() != b"identity":
            raise Refused(415, f"content-encoding is {_text(value)!r}, send plain JSON")
    content_type = request.header(b"content-type") or b""
    # Clients of the Open Inference Protocol name no type for JSON.
    if content_type != JSON and not _is_json(content_type) and not (binary and content_type in (b"", BINARY)):
        raise Refused(415, f"content-type is {_text(content_type)!r}, must be 'application/json'")


def _number(text: str) -> int | None:
    """Read a whole number of up to 18 digits: Python itself raises for thousands."""
    return int(text) if len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit() else None


def _is_json(content_type: bytes) -> bool:
    kind, _, parameters = content_type.partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    return kind.strip().lower() == JSON and charset in (b"", b"charset=utf-8")


def _text(value: bytes) -> str:
    return value[:100].decode("latin-1")
