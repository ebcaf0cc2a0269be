"""A circuit breaker for one dependency, as arithmetic on outcomes and times; what calls the dependency enforces it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class State(enum.StrEnum):
    """Closed lets calls through, open none, half-open one probe at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class Breaker:
    """Opens after `failures` in a row, or when over half of the last `window_s` seconds' calls failed.

    Stays open `base_s`, doubling with each failed probe up to `max_s`: short, since a probe costs one deadline and a
    store that is back should be used within two seconds.
    """

    failures: int = 5
    window_s: float = 10.0
    min_calls: int = 20
    base_s: float = 0.25
    max_s: float = 1.0
    state: State = State.CLOSED
    _in_a_row: int = 0
    _open_for_s: float = 0.0
    _until: float = 0.0
    _probing_since: float | None = None
    _good: int = 0
    _bad: int = 0
    _window_from: float = field(default=float("-inf"))

    def is_open(self) -> bool:
        """Whether calls are held back, but for probes."""
        return self.state is not State.CLOSED

    def allow(self, now: float) -> bool:
        """Say whether a call may go out at `now` (monotonic seconds)."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN and now >= self._until:
            self.state, self._probing_since = State.HALF_OPEN, None
        # A probe that never reported (its task was cancelled) does not hold the breaker for ever.
        if self.state is State.HALF_OPEN and (self._probing_since is None or now - self._probing_since > self.max_s):
            self._probing_since = now
            return True
        return False

    def record(self, *, ok: bool, now: float) -> None:
        """Take the outcome of a call that was allowed."""
        if self.state is State.HALF_OPEN:
            if ok:
                self._close(now)
            else:
                self._open(now)
            return
        if self.state is State.OPEN:
            return  # a straggler from before it opened
        if now - self._window_from > self.window_s:
            self._good, self._bad, self._window_from = 0, 0, now
        self._in_a_row = 0 if ok else self._in_a_row + 1
        self._good += ok
        self._bad += not ok
        calls = self._good + self._bad
        if self._in_a_row >= self.failures or (calls >= self.min_calls and 2 * self._bad > calls):
            self._open(now)

    def _open(self, now: float) -> None:
        self._open_for_s = min(self.max_s, max(self.base_s, 2 * self._open_for_s))
        self.state, self._until, self._in_a_row = State.OPEN, now + self._open_for_s, 0

    def _close(self, now: float) -> None:
        self.state, self._open_for_s, self._in_a_row = State.CLOSED, 0.0, 0
        self._good, self._bad, self._window_from = 0, 0, now
