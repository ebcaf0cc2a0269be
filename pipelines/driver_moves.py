"""Drivers' moves, as they come, into their last positions: read, find the zones, upsert by event time, commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from adapters.driver_position_writer import DriverPositionWriter, Move
from adapters.streams import Subscription
from contracts.clock import Clock
from contracts.errors import InvalidInput
from contracts.events import DRIVERS_MOVED, DriverMoved
from pipelines.inbox import Inbox
from pipelines.stream_metrics import Ages

KEPT_S: Final = 3600.0
"""A position that old is let go, and one that comes so late is not taken: it could not be told from a newer one."""

_FORGET_S: Final = 60.0
_MICRO: Final = 1_000_000
Locate = Callable[[float, float], str]  # the zone of a point (degrees), empty outside all zones


class DriverMoves:
    """Takes moves to positions, a step at a time. Its counts and ages are for people and metrics."""

    def __init__(
        self, moves: Subscription, writer: DriverPositionWriter, locate: Locate, clock: Clock, *, future_s: float = 60.0
    ) -> None:
        self._inbox = Inbox(moves, DriverMoved, self._check)
        self._writer, self._locate, self._clock = writer, locate, clock
        self._future_s = future_s
        self._forget_at = float("-inf")
        self.topic = DRIVERS_MOVED
        self.counts: Counter[str] = Counter()
        self.ages = Ages()  # from a move to its position

    def step(self, timeout_s: float) -> int:
        """Work on one batch; returns how many messages were done.

        Raises Unavailable; the next step then goes on with the same batch.
        """
        self._inbox.poll(timeout_s)
        now = self._clock.now()
        events = self._inbox.read(now)
        self.counts["dead_letters"] = self._inbox.dead_letters
        recent = [event for event in events if event.at.timestamp() > now - KEPT_S]
        last = {event.driver_id: event for event in sorted(recent, key=lambda event: (event.at, event.lat, event.lon))}
        outcomes = self._writer.upsert([self._move(event) for event in last.values()])
        if now >= self._forget_at:
            self._forget(now)
        visible = self._clock.now()
        done = self._inbox.commit()
        self.counts.update({f"positions_{name}": count for name, count in outcomes.items()})
        self.counts.update(
            committed=done, too_late=len(events) - len(recent), positions_overtaken=len(recent) - len(last)
        )
        self.ages.add([visible - event.at.timestamp() for event in recent])
        return done

    def due_s(self) -> float:
        """Seconds until old positions are let go."""
        return max(self._forget_at - self._clock.now(), 0.0)

    def lag(self) -> int:
        """How many messages are not committed. Raises Unavailable."""
        return self._inbox.lag()

    def _check(self, event: DriverMoved, now: float) -> None:
        ahead_s = event.at.timestamp() - now
        if ahead_s > self._future_s:
            raise InvalidInput("at", f"is {ahead_s:.1f} s in the future, must be at most {self._future_s:g} s")

    def _move(self, event: DriverMoved) -> Move:
        at_us = round(event.at.timestamp() * _MICRO)
        return Move(event.driver_id, at_us, event.lat, event.lon, self._locate(event.lat, event.lon))

    def _forget(self, now: float) -> None:
        while forgotten := self._writer.forget(round((now - KEPT_S) * _MICRO)):
            self.counts["positions_forgotten"] += forgotten
        self._forget_at = now + _FORGET_S
