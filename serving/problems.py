"""RFC 9457 problem documents: how an error becomes an answer."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import UNSET

from contracts.errors import InvalidInput
from contracts.messages import FieldError, Problem

PROBLEM_JSON: Final = b"application/problem+json"
# The last one, since an unknown member's name may look like one.
_AT: Final = re.compile(r"(?P<words>.*) - at `\$\.?(?P<path>.*)`\Z", re.DOTALL)
_MEMBER: Final = re.compile(r"(?:unknown|required) field `(?P<name>.*)`", re.DOTALL)
_MAX_ECHO: Final = 200  # characters of the caller's own words that an answer repeats


class Refused(Exception):
    """A request that gets a status of its own, with the headers that go with it."""

    def __init__(self, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def encode_problem(
    status: int, detail: str, field_path: str = "", *, open_inference: bool = False, reason: str = ""
) -> bytes:
    """One problem document as JSON; `field_path` is empty where the whole request is at fault."""
    phrase = HTTPStatus(status).phrase
    errors = [FieldError(field=field_path, message=detail)] if field_path else []
    kind = f"urn:tandem:problem:{phrase.lower().replace(' ', '-')}"
    words = f"{field_path}: {detail}" if field_path else detail
    error = words if open_inference else UNSET
    return msgspec.json.encode(Problem(kind, phrase, status, words, errors, error, reason or UNSET))


def decode_error(error: Exception, body: bytes) -> InvalidInput:
    """Turn what msgspec says of a body into the field, or for broken JSON the byte."""
    if isinstance(error, msgspec.ValidationError):
        match = _AT.match(str(error))
        words, path = (match["words"], match["path"] or "") if match else (str(error), "")
        member = _MEMBER.search(words)
        if member:
            path = f"{path}.{member['name']}" if path else member["name"]
        return InvalidInput(_clip(path), _clip(words))
    if isinstance(error, UnicodeDecodeError):
        return InvalidInput("", f"JSON is malformed: not UTF-8 (byte {_first_bad_byte(body)})")
    if isinstance(error, RecursionError):
        return InvalidInput("", "JSON is malformed: nested too deeply")
    words = str(error)
    if "byte" not in words:
        words = f"JSON is malformed: it ends too early (byte {len(body)})"
    return InvalidInput("", words)


def _first_bad_byte(body: bytes) -> int:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _clip(words: str) -> str:
    return words if len(words) <= _MAX_ECHO else words[:_MAX_ECHO] + "…"
