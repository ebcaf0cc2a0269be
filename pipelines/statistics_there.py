"""Whether the online store has the statistics that trips are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from adapters.online_writer import RedisOnlineWriter
from contracts.clock import Clock

_PATIENCE_S: Final = 60.0  # `up` fills the store while the stream starts


class StatisticsThere:
    """A home with feature tables fills its store with them; where they stay away, they are asked for."""

    def __init__(self, features: Path, writer: RedisOnlineWriter, ask: Callable[[], None], clock: Clock) -> None:
        self._features, self._writer, self._ask, self._clock = features, writer, ask, clock
        self._since: float | None = None

    def __call__(self) -> bool:
        """True as well where nobody has any. Raises Unavailable."""
        if not self._features.is_dir() or self._writer.filled():
            self._since = None
            return True
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= _PATIENCE_S:
            self._ask()
            self._since = now
        return False
