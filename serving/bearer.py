"""Bearer tokens in requests: who holds one is looked up beside the event loop, and only where one is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from contracts.roles import Actor
from serving.exchange import Request
from serving.problems import Refused

Holder = Callable[[str], Actor | None]
"""Tells who holds a token, None for one that is unknown, expired or revoked; it may block."""
_CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="tandem"'),)


async def whoever(request: Request, holder: Holder) -> Actor:
    """Who sends a request; raises Refused (401) without a token, and with one that is not good."""
    header = request.header(b"authorization")
    if header is None:
        raise Refused(401, "needs a token, Authorization: Bearer …; `tandem token create` makes one", _CHALLENGE)
    scheme, _, token = header.decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, f"the authorization is of type {scheme[:20]!r}, must be Bearer", _CHALLENGE)
    actor = await asyncio.to_thread(holder, token.strip())
    if actor is None:
        raise Refused(401, "the bearer token is unknown, expired or revoked", _CHALLENGE)
    return actor
