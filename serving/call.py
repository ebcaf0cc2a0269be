"""One request on its way through the replica: until when it must be answered, and where its time went."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Call:
    """Times are `time.perf_counter` seconds; durations are seconds."""

    started: float = field(default_factory=time.perf_counter)
    deadline: float = math.inf
    features_s: float = 0.0  # waiting for the online store: others had the processor
    model_s: float = 0.0

    def left_s(self) -> float:
        """How long there is to answer; infinity without a deadline."""
        return self.deadline - time.perf_counter()
