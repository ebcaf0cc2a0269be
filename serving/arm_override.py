"""Testers choose their arm: `X-Tandem-Arm` with a token of any role."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from serving.bearer import Holder, whoever
from serving.call import Call
from serving.exchange import Answer, Request

ARM_HEADER: Final = b"x-tandem-arm"
Handler = Callable[[Request, Call], Answer | Awaitable[Answer]]


class ArmOverride:
    """Lets requests with the header through to their arm; the others never come here."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    async def then(self, handler: Handler, request: Request, call: Call) -> Answer:
        """Handle a request once its token is known to be good; raises Refused (401) where it is not."""
        await call.waiting(whoever(request, self._holder))
        call.override = (request.header(ARM_HEADER) or b"").decode("latin-1").strip()
        answer = handler(request, call)
        return answer if isinstance(answer, Answer) else await answer
