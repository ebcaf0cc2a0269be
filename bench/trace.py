"""Every answer of a step of load, with the questions that the suites ask of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Look = Callable[[bytes], str]
SERVER_ERROR = 500


def nothing(_: bytes) -> str:
    """Do not look into bodies."""
    return ""


def reason(body: bytes) -> str:
    """Return the first estimate's reason (the heuristic's, or that features are stale).

    `model` where there is none, and empty for what holds no estimate.
    """
    _, found, rest = body.partition(b'"reason":"')
    if found:
        return rest.partition(b'"')[0].decode()
    return "model" if b'"source":"model"' in body else ""


@dataclass(frozen=True)
class Trace:
    """Answers in the order in which they were due. `due_s` counts from `began` (perf_counter), latency from then on."""

    rate: float
    duration_s: float
    began: float
    sent: int
    due_s: np.ndarray
    latency_ms: np.ndarray
    status: np.ndarray
    words: Sequence[str]
    lost: Mapping[str, int]

    def between(self, start_s: float, end_s: float) -> np.ndarray:
        """Which answers were due in [start, end)."""
        return np.asarray((self.due_s >= start_s) & (self.due_s < end_s))

    def good(self, limit_ms: float) -> np.ndarray:
        """Which were 200 within the limit."""
        return np.asarray((self.status == 200) & (self.latency_ms <= limit_ms))

    def goodput(self, limit_ms: float) -> float:
        """Answers a second that were of use."""
        return float(self.good(limit_ms).sum()) / self.duration_s

    def refused(self) -> np.ndarray:
        """Which were turned away: 429 and 503."""
        return np.isin(self.status, (429, 503))

    def server_errors(self) -> int:
        """How many answers were a 5xx."""
        return int((self.status >= SERVER_ERROR).sum())

    def statuses(self) -> dict[str, int]:
        """Count answers by status, and requests without an answer by why."""
        return {str(k): n for k, n in sorted(Counter(self.status.tolist()).items())} | dict(self.lost)

    def seen(self, chosen: np.ndarray) -> dict[str, int]:
        """Count what `look` saw in the chosen answers."""
        return dict(Counter(word for word, take in zip(self.words, chosen.tolist(), strict=True) if take))

    def last_due(self, chosen: np.ndarray) -> float | None:
        """When the last of the chosen was due; None without any."""
        return float(self.due_s[chosen].max()) if chosen.any() else None


def settled(times: np.ndarray, good: np.ndarray, *, run: int = 100, share: float = 0.99) -> float | None:
    """Give the time of the first good answer that begins a run of so many of which that share is good."""
    for i in np.flatnonzero(good):
        if i + run > len(good):
            return None
        if good[i : i + run].mean() >= share:
            return float(times[i])
    return None


def percentile(values: np.ndarray, q: float) -> float | None:
    """Give a percentile to three digits, None of nothing."""
    return round(float(np.percentile(values, q)), 3) if len(values) else None
