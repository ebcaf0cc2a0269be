"""Who is let in: a concurrency limit that follows latency, and a deadline that a waiting request could still meet.

`gradient2` is arithmetic on samples (Netflix concurrency-limits' Gradient2, clean-room from its formula); `Admission`
holds the counters. Neither knows HTTP or a clock: callers pass seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from contracts.errors import TandemError

LONG_WINDOW = 600  # samples of the long-term latency average
WARMUP = 10
QUEUE = 4.0
PATIENCE = 0.5  # the share of a caller's deadline that may be spent waiting: the wait is an average, too
LEAST_S = 1e-5  # requests that take less do not hold the processor, but wait for something else


class Refusal(enum.StrEnum):
    """Why a request was turned away."""

    LIMIT = "concurrency_limit"
    DEADLINE = "deadline_unreachable"


class Overloaded(TandemError):
    """Work that has a queue of its own was turned away; `retry_after_s` says when to come again."""

    def __init__(self, refusal: Refusal, retry_after_s: int) -> None:
        super().__init__(f"overloaded ({refusal}); try again later")
        self.refusal = refusal
        self.retry_after_s = retry_after_s


def gradient2(
    limit: float,
    short_ms: float,
    long_ms: float,
    *,
    smoothing: float = 0.2,
    queue: float = QUEUE,
    tolerance: float = 1.5,
) -> float:
    """Give the next concurrency limit from the present one, a recent latency and the long-term one (both ms)."""
    gradient = max(0.5, min(1.0, tolerance * long_ms / short_ms))
    return limit * (1 - smoothing) + (limit * gradient + queue) * smoothing


@dataclass
class Admission:
    """Counts what is in flight and lets in what has a chance.

    `low_share` of the limit is for background work (shadow, refresh), which is therefore shed first.
    """

    limit: float = 64.0
    min_limit: float = 4.0
    max_limit: float = 512.0
    low_share: float = 0.5
    queue_s: float = 0.015  # how long a request may wait for its turn
    in_flight: int = 0
    service_s: float = 0.0  # average time one request holds the processor
    busy_s: float = 0.0  # how long requests have held it in all
    _long_ms: float = 0.0
    _samples: int = 0

    def enter(self, *, deadline_s: float, background: bool = False) -> Refusal | None:
        """Take a place, or say why not. `deadline_s` is how many seconds are left to answer."""
        if self.in_flight >= self.limit * (self.low_share if background else 1.0):
            return Refusal.LIMIT
        # What is ahead is served first, one at a time; waiting for an answer nobody reads helps nobody. A few always
        # get in: a server that refused all work would never learn that work has become lighter.
        if self.in_flight >= self.min_limit and (self.in_flight + 1) * self.service_s > deadline_s:
            return Refusal.DEADLINE
        self.in_flight += 1
        return None

    def leave(self, latency_s: float, busy_s: float) -> None:
        """Give the place back, after `latency_s` in all, of which `busy_s` held the processor."""
        crowded = self.in_flight * 2 >= self.limit
        self.in_flight -= 1
        self.busy_s += busy_s
        self.service_s += (busy_s - self.service_s) * 0.1  # from nothing: a first request is slow for its own reasons
        latency_ms = max(latency_s * 1e3, 1e-3)
        self._samples = min(self._samples + 1, LONG_WINDOW)
        self._long_ms += (latency_ms - self._long_ms) / self._samples
        if self._long_ms > 2 * latency_ms:
            self._long_ms *= 0.95  # a long average left behind by an overload would let the next one in
        # An idle server says nothing about how much it could bear.
        if self._samples > WARMUP and crowded:
            # Gradient2's queue is a count; here it is as many as are served while one may wait. Where a request takes
            # 100 µs a burst of ten is no overload, although each waits for several times its own service.
            queue = max(QUEUE, self.queue_s / self.service_s) if self.service_s > LEAST_S else QUEUE
            moved = gradient2(self.limit, latency_ms, self._long_ms, queue=queue)
            self.limit = min(self.max_limit, max(self.min_limit, moved))

    def give_back(self) -> None:
        """Give a place back unused: who left before the turn says nothing of what work costs."""
        self.in_flight -= 1

    def has_room(self) -> bool:
        """Whether background work may start."""
        return self.in_flight < self.limit * self.low_share

    def retry_after_s(self) -> int:
        """Whole seconds until a retry has a chance."""
        return max(1, round(self.in_flight * self.service_s))
