"""One request on its way through the replica: until when it must be answered, and where its time went."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """Times are `time.perf_counter` seconds; durations are seconds."""

    started: float = field(default_factory=time.perf_counter)
    deadline: float = math.inf
    waited_s: float = 0.0  # for a body, a store, another thread: others had the event loop
    features_s: float = 0.0
    model_s: float = 0.0
    arm: str = "champion"  # who answered: the estimator says so
    override: str | None = None  # the arm that a tester wants

    def left_s(self) -> float:
        """How long there is to answer; infinity without a deadline."""
        return self.deadline - time.perf_counter()

    async def waiting(self, result: Awaitable[T]) -> T:
        """Await what is not this request's own work on the event loop, and count the time as waited."""
        asked = time.perf_counter()
        try:
            return await result
        finally:
            self.waited_s += time.perf_counter() - asked
