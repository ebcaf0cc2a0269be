"""`tandem.v1.DispatchService`: the same use cases as /v1/dispatch and /v1/rides."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message
from msgspec import UNSET

from contracts.dispatch_messages import DispatchRequest, RideRequest
from serving.call import Call
from serving.dispatcher import Dispatcher
from serving.grpc_api import Rpcs, converted, place_of
from serving.proto import tandem_pb2 as tandem
from serving.rides import RideService

SERVICE: Final = "tandem.v1.DispatchService"


class GrpcDispatch:
    """The service's calls, for `GrpcApi`."""

    def __init__(self, dispatcher: Dispatcher, rides: RideService) -> None:
        self._dispatcher = dispatcher
        self._rides = rides

    def rpcs(self) -> Rpcs:
        """By method."""
        return {"Assign": (self._assign, tandem.AssignRequest), "Ride": (self._ride, tandem.RideRequest)}

    async def _assign(self, request: tandem.AssignRequest, call: Call) -> Message:
        answer = await self._dispatcher.assign(_dispatch_request(request), call)
        pairs = (
            tandem.Assigned(rider=pair.rider, driver=pair.driver, pickup_eta_s=pair.pickup_eta_s)
            for pair in answer.assignments
        )
        return tandem.AssignResponse(
            request_id=answer.request_id,
            assignments=pairs,
            unmatched=answer.unmatched,
            policy=answer.policy,
            matrix_ms=answer.matrix_ms,
            solve_ms=answer.solve_ms,
            model=answer.model,
            source=answer.source,
            reason=answer.reason if answer.reason is not UNSET else "",
        )

    async def _ride(self, request: tandem.RideRequest, call: Call) -> Message:
        given: dict[str, Any] = {"id": request.id, "pickup": place_of(request.pickup)}
        if request.HasField("dropoff"):
            given["dropoff"] = place_of(request.dropoff)
        answer = await self._rides.ride(converted(given, RideRequest), call)
        return tandem.RideResponse(
            request_id=answer.request_id,
            id=answer.id,
            driver=answer.driver,
            pickup_eta_s=answer.pickup_eta_s,
            waited_s=answer.waited_s,
        )


def _dispatch_request(request: tandem.AssignRequest) -> DispatchRequest:
    riders: list[dict[str, Any]] = []
    for rider in request.riders:
        given: dict[str, Any] = {"id": rider.id, "pickup": place_of(rider.pickup), "waiting_s": rider.waiting_s}
        if rider.HasField("dropoff"):
            given["dropoff"] = place_of(rider.dropoff)
        riders.append(given)
    drivers = [
        {"id": driver.id, "location": place_of(driver.location), "free_in_s": driver.free_in_s}
        for driver in request.drivers
    ]
    return converted({"riders": riders, "drivers": drivers, "policy": request.policy or "batch"}, DispatchRequest)
