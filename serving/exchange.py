"""A whole request and its answer, as the application sees them; nothing of sockets."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from serving.call import Call

JSON: Final = b"application/json"
Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Request:
    """A request that has come in whole. Header names are in lower case; `query` is what follows the question mark."""

    method: str
    path: str
    query: bytes = b""
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    arrived: float = field(default_factory=time.perf_counter)
    admitted: bool = False
    call: Call | None = None  # from when its turn came

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        for found, value in self.headers:
            if found == name:
                return value
        return None


class Answer(Struct, frozen=True):
    """A response before it is sent."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
