"""HTTP/1.1 of one connection: bytes in, whole requests to the queue, answers in order.

A general server makes a task, a dictionary and four messages of each request, which costs more than the model.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import unquote_to_bytes

import httptools

from contracts.messages import MAX_BODY_BYTES
from serving.exchange import Answer, Headers, Request
from serving.problems import PROBLEM_JSON, encode_problem
from serving.request_queue import RequestQueue

MAX_HEAD_BYTES: Final = 64 << 10
MAX_PARTIAL_BYTES: Final = 64 << 20  # of all bodies that have not come in whole
SMALL_BODY_BYTES: Final = 64 << 10  # not refused for others' sake
MAX_BODY_S: Final = 10.0  # from the head to the end of a body that does not come with it
_PIPELINED: Final = 16
_LINGER_S: Final = 1.0


class Connection(asyncio.Protocol):
    """One connection; its methods `on_…` are the parser's callbacks."""

    def __init__(self, queue: RequestQueue) -> None:
        self.closed = False
        self._queue = queue
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._serving = False
        self._deadline: asyncio.TimerHandle | None = None
        self._last = False  # no request after the present one
        self._chunk_bytes = 0
        self._refused = False  # what still comes is not read
        self._waiting: deque[tuple[Request, bool]] = deque()
        self.on_message_begin()
        self._begun = False  # a request is coming in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._queue.connections.add(self)
        if self._queue.closing:
            self.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.closed = True
        self._forget_body()
        self._queue.connections.discard(self)
        self._queue.left.set()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: who does not read its answers gets no more of them."""
        if self._transport and not self.closed:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._transport and not self.closed:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._refused:
            return
        self._chunk_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._last = True  # not offered: an ordinary request, and the last one, since the parser stops here
        except httptools.HttpParserError as error:
            self._refuse(400, str(error) or type(error).__name__)
            return
        if self._in_head:
            self._count_head(len(data))

    def on_message_begin(self) -> None:
        """Start anew."""
        self._begun = True
        self._in_head = True
        self._head_bytes = 0
        self._url = b""
        self._headers: Headers = []
        self._chunks: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Tell a client that asks first to go on."""
        self._in_head = False
        if self._chunk_bytes > MAX_HEAD_BYTES:  # it may have been a head of that size
            self._head_bytes = 0
            self._count_head(len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers))
        for name, value in self._headers:
            if name == b"expect" and value.lower() == b"100-continue" and self._transport:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body; beyond the limits nothing is kept."""
        if self._refused:
            return
        if len(self._chunks) == 1:  # it comes in pieces, and may never end
            self._deadline = asyncio.get_running_loop().call_later(MAX_BODY_S, self._too_slow)
        self._chunks.append(body)
        self._size += len(body)
        self._queue.partial_bytes += len(body)
        if self._size > MAX_BODY_BYTES:
            self._refuse(413, f"the body is longer, at most {MAX_BODY_BYTES} bytes are read")
        elif self._queue.partial_bytes > MAX_PARTIAL_BYTES and self._size > SMALL_BODY_BYTES:
            self._refuse(503, "too many large bodies are coming in at once")

    def on_message_complete(self) -> None:
        """Hand the request over, or keep it until the ones before it are answered."""
        self._begun = False
        if self._refused:
            return
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._forget_body()
        path, query = _target(self._url)
        request = Request(self._parser.get_method().decode("ascii"), path, query, self._headers, body)
        keep_alive = self._parser.should_keep_alive()
        if self._serving or self._waiting:
            self._waiting.append((request, keep_alive))
            if len(self._waiting) >= _PIPELINED and self._transport:
                self._transport.pause_reading()
        else:
            self._serve(request, keep_alive=keep_alive)

    def respond(self, request: Request, answer: Answer) -> None:
        """Send an answer, and take the next request that has come in meanwhile."""
        transport = self._transport
        if self.closed or transport is None:
            return
        self._serving = False
        close = self._last or ((self._refused or self._queue.closing) and not self._waiting)
        if answer.status == HTTPStatus.NO_CONTENT:
            head = b"HTTP/1.1 204 No Content\r\n"
        else:
            head = _head(answer.status, answer.content_type) + b"%d\r\n" % len(answer.body)
        for name, value in answer.headers:
            head += b"%b: %b\r\n" % (name, value)
        if close:
            head += b"connection: close\r\n"
        transport.write(head + b"\r\n" if request.method == "HEAD" else b"%b\r\n%b" % (head, answer.body))
        if close:
            self.close()
        elif self._waiting:
            self._queue.soon(self._serve_waiting)

    def close_if_idle(self) -> None:
        """Close between requests; one that is coming in or being served closes with its answer."""
        if not (self._serving or self._begun or self._waiting):
            self.close()

    def close(self) -> None:
        """Close when all is sent."""
        self.closed = True
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self.closed = True
        if self._transport:
            self._transport.abort()

    def _serve_waiting(self) -> None:
        if self._serving or self.closed or not self._waiting:
            return
        if len(self._waiting) == _PIPELINED and self._transport:
            self._transport.resume_reading()
        request, keep_alive = self._waiting.popleft()
        self._serve(request, keep_alive=keep_alive)

    def _serve(self, request: Request, *, keep_alive: bool) -> None:
        self._serving = True
        self._last = self._last or not keep_alive
        self._queue.take(self, request)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES and not self._refused:
            self._refuse(431, f"the request line and the headers are over {MAX_HEAD_BYTES} bytes")

    def _refuse(self, status: int, words: str) -> None:
        """Say why, read no more, and close a little later: one that is still sending would not hear it otherwise."""
        self._refused = True
        self._forget_body()
        if self._transport is None or self.closed:
            return
        if self._serving or self._waiting:  # answers that are still to come go first; then the connection closes
            return
        body = encode_problem(status, words)
        retry = b"retry-after: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        head = _head(status, PROBLEM_JSON) + b"%d\r\n%bconnection: close\r\n\r\n" % (len(body), retry)
        self._transport.write(head + body)
        asyncio.get_running_loop().call_later(_LINGER_S, self.close)

    def _too_slow(self) -> None:
        self._refuse(408, f"the body did not arrive within {MAX_BODY_S:g} s")

    def _forget_body(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        self._queue.partial_bytes -= self._size
        self._chunks, self._size = [], 0


@lru_cache(maxsize=256)
def _head(status: int, content_type: bytes) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: " % (status, phrase.encode(), content_type)


def _target(url: bytes) -> tuple[str, bytes]:
    """The path, decoded, and the query of a request's target, which may be a whole URL."""
    if not url.startswith(b"/"):
        parsed = httptools.parse_url(url)
        url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
    path, _, query = url.partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "replace"), query.partition(b"#")[0]
