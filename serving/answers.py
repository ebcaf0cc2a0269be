"""Answers to what can't be served: statuses of errors, of methods, and of bugs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Final

from contracts.errors import (
    ArtifactInvalid,
    Declined,
    InvalidInput,
    NotAllowed,
    NotFound,
    NotNow,
    TandemError,
    Unavailable,
)
from serving.exchange import Answer, Request
from serving.problems import PROBLEM_JSON, Refused, encode_problem

_LOG: Final = logging.getLogger(__name__)


async def guarded(request: Request, answer: Awaitable[Answer]) -> Answer:
    """Await an answer, or make one of its error."""
    try:
        return await answer
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return failed(request, error)


def failed(request: Request, error: Exception) -> Answer:
    """Explain an error of the caller's or of a dependency's; tell nothing of the inside of a bug."""
    if isinstance(error, Refused | TandemError):
        return _explained(error, open_inference=request.path.startswith("/v2/"))
    _LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    return _problem(500, "the server failed; its log has the cause")


def other_method(method: str, *allowed: str) -> Answer:
    """Answer OPTIONS, and refuse every other method than those allowed."""
    names = ", ".join(name for of in allowed for name in ((of, "HEAD") if of == "GET" else (of,)))
    allow = ((b"allow", f"{names}, OPTIONS".encode()),)
    if method == "OPTIONS":
        return Answer(204, b"", headers=allow)
    return _problem(405, f"method {method[:20]} is not allowed here, only {names}, OPTIONS", headers=allow)


def _explained(error: Refused | TandemError, *, open_inference: bool) -> Answer:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    field, detail, reason = "", str(error), ""
    match error:
        case Refused():
            status, headers = error.status, tuple(error.headers)
        case InvalidInput():
            status, field, detail = 422 if error.field else 400, error.field, error.message
        case NotAllowed():
            status = 403
        case NotFound():
            status = 404
        case Declined():
            status, reason = 409, error.reason
        case NotNow() | ArtifactInvalid():
            status = 409
        case Unavailable():
            status, headers = 503, ((b"retry-after", b"1"),)
        case _:
            status = 500
    body = encode_problem(status, detail, field, open_inference=open_inference, reason=reason)
    return Answer(status, body, PROBLEM_JSON, headers)


def _problem(status: int, detail: str, field: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    return Answer(status, encode_problem(status, detail, field), PROBLEM_JSON, headers)
