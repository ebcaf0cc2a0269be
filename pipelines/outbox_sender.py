"""Sends what the home's producers have put into the outbox, as one of the stream's followers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from adapters.outbox import Outbox, send
from adapters.streams import Stream
from contracts.clock import Clock
from pipelines.stream_metrics import Ages

_LOOK_S: Final = 0.1


class OutboxSender:
    """Looks ten times a second, once there is a file: a home without producers has none."""

    def __init__(self, path: Path, stream: Stream, clock: Clock, sleep: Callable[[float], None]) -> None:
        self._path, self._stream = path, stream
        self._clock, self._sleep = clock, sleep
        self._outbox: Outbox | None = None
        self.topic = "outbox"
        self.counts: Counter[str] = Counter()
        self.ages = Ages()  # from a put to the broker's word

    def step(self, timeout_s: float) -> int:
        """Send some; returns how many. Raises Unavailable, and sends the same again the next time."""
        if self._outbox is None and self._path.exists():
            self._outbox = Outbox(self._path)
        done = send(self._outbox, self._stream) if self._outbox else []
        if not done:
            self._sleep(timeout_s)
        now = self._clock.now()
        self.counts["committed"] += len(done)
        self.ages.add([now - one.at for one in done])
        return len(done)

    def due_s(self) -> float:
        """Seconds to the next look."""
        return _LOOK_S if self._outbox else 1.0

    def lag(self) -> int:
        """How many messages wait."""
        return self._outbox.waiting() if self._outbox else 0
