"""Trips that ended become outcomes of the estimates they were booked on, beside those that `POST /v1/outcomes` brings.

Both end in one table, whose key is request, trip and event: whichever comes second is a duplicate. A batch is kept,
then committed; a consumer that is killed between leaves it to another, and again changes nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import UNSET

from adapters.streams import Message, Subscription
from contracts.clock import Clock
from contracts.errors import InvalidInput
from contracts.events import TRIPS_ENDED, TripEnded, decode_event
from contracts.messages import Outcome
from pipelines.stream_metrics import Ages

GROUP: Final = "outcomes"
_MOST: Final = 1000  # messages a batch
Keep = Callable[[Sequence[Outcome], float], int]


class TripOutcomes:
    """Works a batch at a time.

    `counts`: committed in all; accepted, duplicate; unknown, whose request was not issued here; unnamed, without a
    request; unreadable, which the consumer of features puts on the dead letters.
    """

    def __init__(
        self,
        trips: Subscription,
        keep: Keep,
        issued: Callable[[str], bool],
        clock: Clock,
        *,
        check: Callable[[TripEnded, float], None] = lambda _trip, _now: None,
    ) -> None:
        self._trips, self._keep, self._issued, self._clock, self._check = trips, keep, issued, clock, check
        self._begun: list[Message] = []  # polled, and not committed
        self.counts: Counter[str] = Counter()
        self.topic = f"{TRIPS_ENDED} outcomes"  # of the same topic as the live features, in the metrics beside them
        self.ages = Ages()

    def step(self, timeout_s: float) -> int:
        """Work on one batch; returns how many messages were done. Raises Unavailable, and then begins it again."""
        self._begun = self._begun or self._trips.poll(_MOST, timeout_s)
        if not self._begun:
            return 0
        found: Counter[str] = Counter()
        outcomes = [outcome for message in self._begun if (outcome := self._read(message, found))]
        now = self._clock.now()
        accepted = self._keep(outcomes, now) if outcomes else 0
        self._trips.commit()
        self.ages.add([now - outcome.at.timestamp() for outcome in outcomes])
        done, self._begun = len(self._begun), []
        self.counts.update(found)
        self.counts.update(committed=done, accepted=accepted, duplicate=len(outcomes) - accepted)
        return done

    def due_s(self) -> float:
        """Nothing is to be done without a message."""
        return math.inf

    def lag(self) -> int:
        """How many messages are not committed. Raises Unavailable."""
        return self._trips.lag()

    def _read(self, message: Message, found: Counter[str]) -> Outcome | None:
        try:
            trip = decode_event(message.payload, TripEnded)
            self._check(trip, self._clock.now())
        except InvalidInput:
            found["unreadable"] += 1
            return None
        if trip.request_id is UNSET:
            found["unnamed"] += 1
            return None
        if not self._issued(trip.request_id) or "\0" in trip.trip_id:
            found["unknown"] += 1
            return None
        return Outcome(
            request_id=trip.request_id,
            id=trip.trip_id,
            event="completed",
            at=trip.dropoff_at,
            actual_s=trip.duration_s,
        )
