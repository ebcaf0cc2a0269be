"""What became of estimates: checked, counted, and kept for good before the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from contracts.clock import Clock
from contracts.errors import InvalidInput
from contracts.messages import MAX_AT_OFFSET_S, Outcome, OutcomesRequest, OutcomesResponse
from serving.call import Call
from serving.request_ids import RequestIds

Add = Callable[[Sequence[Outcome], float], int]


class Outcomes:
    """Keeps outcomes of requests that were issued here. Trip ids are matched when labels join the prediction log.

    The counts are since the start.
    """

    def __init__(self, add: Add, request_ids: RequestIds, clock: Clock) -> None:
        self._add = add
        self._request_ids = request_ids
        self._clock = clock
        self.accepted = 0
        self.duplicate = 0
        self.unknown = 0

    async def record(self, request: OutcomesRequest, call: Call) -> OutcomesResponse:
        """Count accepted, duplicate and unknown; raises InvalidInput for a time more than a year away."""
        now = self._clock.now()
        for i, outcome in enumerate(request.outcomes):
            if abs(outcome.at.timestamp() - now) > MAX_AT_OFFSET_S:
                raise InvalidInput(f"outcomes[{i}].at", f"{outcome.at.isoformat()} is more than a year from now")
            if "\0" in outcome.id:  # PostgreSQL has no place for it
                raise InvalidInput(f"outcomes[{i}].id", "has a NUL character")
        known = [outcome for outcome in request.outcomes if self._request_ids.issued(outcome.request_id)]
        accepted = await call.waiting(asyncio.to_thread(self._add, known, now)) if known else 0
        duplicate, unknown = len(known) - accepted, len(request.outcomes) - len(known)
        self.accepted += accepted
        self.duplicate += duplicate
        self.unknown += unknown
        return OutcomesResponse(accepted=accepted, duplicate=duplicate, unknown=unknown)
