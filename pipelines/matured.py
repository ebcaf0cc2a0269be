"""Logged requests with what became of their trips, once they are old enough for it to be judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adapters.state import State
from contracts.answered import Answered
from contracts.outcomes import KeptOutcome
from model_registry.maturity import Fate, Join
from pipelines.log_range import LogRange

# An outcome is stamped before it is stored; by then it is there, or refused.
SETTLE_S = 10.0


class Matured:
    """Reads answers a second time, at the age at which they are judged, and their outcomes with them."""

    def __init__(self, folder: Path, state: State, cut_s: float) -> None:
        self.folder, self._range, self._state = folder, LogRange(folder), state
        self.cut_s = cut_s

    def until(self, now: float) -> float:
        """What was answered before this time is old enough now."""
        return now - self.cut_s - SETTLE_S

    def between(self, start: float, end: float, join: Join) -> Iterator[list[tuple[Answered, list[Fate]]]]:
        """Requests answered at start <= at < end, each once, and the fates of their trips. Raises Unavailable."""
        for batch in self._range.between(start, end):
            if not batch:
                continue
            ids = [one.request_id for one in batch]
            by_request: dict[str, list[KeptOutcome]] = {}
            for outcome in self._state.outcomes_between(min(ids), max(ids)):
                by_request.setdefault(outcome.request_id, []).append(outcome)
            yield [(one, join.fates(one, by_request)) for one in batch]
