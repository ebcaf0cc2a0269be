"""The dispatch use case: riders and drivers of one request -> the route -> times -> one assignment for all."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from msgspec import UNSET

from contracts.clock import Clock
from contracts.dispatch_messages import Assigned, DispatchRequest, DispatchResponse
from serving.admission import PATIENCE, Admission, Overloaded, Refusal
from serving.call import Call
from serving.crowd import crowd
from serving.dispatch_metrics import DispatchMetrics
from serving.matchmaker import Matched, Matchmaker
from serving.request_ids import RequestIds
from serving.routing import Route, Routing

# For callers who say no deadline; the front waits for 15 s.
MOST_S: Final = 10.0


def dispatch_admission() -> Admission:
    """A limit of dispatch's own: what takes a hundred times as long would say nothing of what ETA requests bear."""
    return Admission(limit=8.0, min_limit=1.0, max_limit=32.0, queue_s=1.0)


class Dispatcher:
    """Answers `POST /v1/dispatch` and `tandem.v1.DispatchService/Assign`."""

    def __init__(
        self,
        routing: Routing,
        matchmaker: Matchmaker,
        request_ids: RequestIds,
        metrics: DispatchMetrics,
        *,
        clock: Clock,
        admission: Admission,
    ) -> None:
        self._routing = routing
        self._matchmaker = matchmaker
        self._request_ids = request_ids
        self._metrics = metrics
        self._clock = clock
        self.admission = admission

    async def assign(self, request: DispatchRequest, call: Call) -> DispatchResponse:
        """Match everybody; raises InvalidInput, Overloaded, or Unavailable before any model is loaded."""
        left_s = min(call.left_s(), MOST_S)
        refusal = self.admission.enter(deadline_s=PATIENCE * left_s)
        if refusal is not None:
            raise Overloaded(refusal, self.admission.retry_after_s())
        request_id = self._request_ids.issue(self._clock.now())
        deadline, begun, busy_s = time.perf_counter() + left_s, time.perf_counter(), 0.0
        try:
            route = self._routing.route(request_id)
            call.arm = route.arm

            def job(loop: asyncio.AbstractEventLoop) -> tuple[Matched, DispatchResponse]:
                return self._matched(request, request_id, route, deadline, loop)

            (matched, answer), busy_s = await call.waiting(self._matchmaker.run(job))
        finally:
            self.admission.leave(time.perf_counter() - begun, busy_s)
        self._metrics.matched(matched, len(request.riders))
        return answer

    def _matched(
        self, request: DispatchRequest, request_id: str, route: Route, deadline: float, loop: asyncio.AbstractEventLoop
    ) -> tuple[Matched, DispatchResponse]:
        if time.perf_counter() >= deadline:  # others took longer than expected
            raise Overloaded(Refusal.DEADLINE, self.admission.retry_after_s())
        model = route.model
        who = crowd(request, model.zones, model.locator)
        matched = self._matchmaker.match(
            model, who.riders, who.drivers, policy=request.policy, deadline=deadline, loop=loop
        )
        made = matched.assignment
        rows = zip(made.rider.tolist(), made.driver.tolist(), made.pickup_s.round(2).tolist(), strict=True)
        assignments = [Assigned(who.rider_ids[rider], who.driver_ids[driver], s) for rider, driver, s in rows]
        taken = set(made.rider.tolist())
        return matched, DispatchResponse(
            request_id=request_id,
            assignments=assignments,
            unmatched=[name for i, name in enumerate(who.rider_ids) if i not in taken],
            policy=matched.policy,
            matrix_ms=round(made.matrix_s * 1e3, 3),
            solve_ms=round(made.solve_s * 1e3, 3),
            model=matched.model,
            source=matched.source,
            reason=matched.reason or UNSET,
        )
