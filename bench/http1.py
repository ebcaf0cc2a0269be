"""As much of HTTP/1.1 as a load generator needs: one request out, one answer in, on a connection that stays open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; `close` says that the server will not take another request on this connection."""

    status: int
    body: bytes
    close: bool


class IncompleteResponse:
    """The answer has not arrived in full."""


Incomplete = IncompleteResponse()


def post(host: str, path: str, body: bytes) -> bytes:
    """A whole POST message with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def parse(data: bytes) -> Response | IncompleteResponse:
    """Read one answer, framed by its length or in chunks."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return Incomplete
    head = data[:end].lower()
    body = data[end + 4 :]
    at = head.find(b"content-length:")
    if at >= 0:
        if len(body) < int(head[at + 15 :].split(b"\r\n", 1)[0]):
            return Incomplete
    elif not body.endswith(b"0\r\n\r\n"):
        return Incomplete
    else:
        body = _join_chunks(body)
    return Response(int(data[9:12]), body, b"connection: close" in head)


def _join_chunks(body: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        size, body = body.split(b"\r\n", 1)
        length = int(size, 16)
        if not length:
            return b"".join(parts)
        parts.append(body[:length])
        body = body[length + 2 :]
