"""Dispatch over HTTP: what an application adds to its routes for it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from contracts.dispatch_messages import DispatchRequest, RideRequest
from serving.admission import Admission, Overloaded
from serving.call import Call
from serving.dispatcher import Dispatcher
from serving.exchange import Answer, Request
from serving.intake import check_type, decoded
from serving.problems import Refused
from serving.rides import RideService
from serving.telemetry import Telemetry

DISPATCH: Final = "/v1/dispatch"
RIDES: Final = "/v1/rides"
T = TypeVar("T")
R = TypeVar("R")
_Handler = Callable[[Request, Call], Awaitable[Answer]]


class DispatchHttp:
    """Handlers of one replica; `admission` is that of the requests which are answered at once."""

    def __init__(self, dispatcher: Dispatcher, rides: RideService, admission: Admission, telemetry: Telemetry) -> None:
        self._admission = admission
        self._telemetry = telemetry
        self._encode = msgspec.json.Encoder().encode
        self.routes = {
            DISPATCH: ("POST", self._handler(msgspec.json.Decoder(DispatchRequest), dispatcher.assign)),
            RIDES: ("POST", self._handler(msgspec.json.Decoder(RideRequest), rides.ride)),
        }

    def _handler(self, decoder: msgspec.json.Decoder[T], answer: Callable[[T, Call], Awaitable[R]]) -> _Handler:
        async def handle(request: Request, call: Call) -> Answer:
            check_type(request)
            asked = decoded(decoder, request.body)
            self._hand_over(request, call)
            try:
                return Answer(200, self._encode(await answer(asked, call)))
            except Overloaded as error:
                self._telemetry.turned_away(error.refusal)
                raise Refused(429, str(error), ((b"retry-after", b"%d" % error.retry_after_s),)) from None

        return handle

    def _hand_over(self, request: Request, call: Call) -> None:
        """Give the place among those that take microseconds back: what follows waits in a queue of its own."""
        if request.admitted:
            now = time.perf_counter()
            self._admission.leave(now - request.arrived, now - call.started)
            request.admitted = False
