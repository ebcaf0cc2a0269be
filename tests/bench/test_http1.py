"""Reading answers."""

from __future__ import annotations

import pytest

from bench.http1 import Response, parse

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [(WHOLE, Response(200, b"hello", close=False)), (CHUNKED, Response(422, b"hello", close=True))],
)
def test_an_answer_is_complete_with_its_last_byte_and_not_before(data: bytes, expected: Response) -> None:
    """Every proper prefix is incomplete, whether framed by length or in chunks."""
    assert parse(data) == expected
    assert not any(isinstance(parse(data[:n]), Response) for n in range(len(data)))
