"""Puts a shadow's answers beside those that callers got to the same requests, whichever of the two is seen first."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

from msgspec import Struct

from contracts.answered import Answered
from contracts.predictions import SHADOW
from model_registry.evidence import Pairs
from model_registry.histogram import Histogram, bucket_of

_MILLI: Final = 1000


class Pair(NamedTuple):
    """One request, answered twice."""

    champion: Answered
    shadow: Answered

    @property
    def latency_ms(self) -> float | None:
        """What the caller would have waited for the shadow: its model in place of the other."""
        if not self.shadow.model_ms:
            return None
        return max(self.champion.server_ms - self.champion.model_ms, 0.0) + self.shadow.model_ms

    @property
    def trips(self) -> list[int]:
        """Positions of the trips to which both versions had an answer of their own."""
        marks = zip(self.champion.fallback, self.shadow.fallback, strict=False)
        return [i for i, (one, other) in enumerate(marks) if not one and not other]

    def errors(self, trip: int, actual_s: float) -> tuple[float, float]:
        """How far off both answers to a trip were, in seconds."""
        return abs(self.champion.eta_s[trip] - actual_s), abs(self.shadow.eta_s[trip] - actual_s)


class Matching(Struct):
    """Holds what has no counterpart yet, in memory, until `forget`."""

    answers: dict[str, Answered] = {}
    shadows: dict[str, Answered] = {}

    def add(self, one: Answered) -> Pair | None:
        """The pair that this record completes."""
        if one.kind == SHADOW:
            answer = self.answers.pop(one.request_id, None)
            if answer:
                return Pair(answer, one)
            self.shadows[one.request_id] = one
            return None
        shadow = self.shadows.pop(one.request_id, None)
        if shadow:
            return Pair(one, shadow)
        self.answers[one.request_id] = one
        return None

    def forget(self, before: float) -> None:
        """Let go of what was answered before an epoch time: most was never mirrored."""
        for waiting in (self.answers, self.shadows):
            for name in [name for name, one in waiting.items() if one.at < before]:
                del waiting[name]


class PairTally(Struct):
    """Sums over pairs, of whole milliseconds and microseconds, so that their order changes nothing."""

    requests: int = 0
    trips: int = 0
    diff_ms: int = 0
    diff_sq: Decimal = Decimal(0)  # ms²: more than 64 bits in time
    abs_diff: dict[int, int] = {}
    timed: int = 0
    model_diff_us: int = 0
    only_champion_failed: int = 0
    only_shadow_failed: int = 0
    both_failed: int = 0
    labels: int = 0
    error_ms: int = 0
    error_diff_ms: int = 0
    error_diff_sq: Decimal = Decimal(0)

    def add(self, pair: Pair) -> None:
        """Count one."""
        champion, shadow = pair
        self.requests += 1
        self.both_failed += champion.failed and shadow.failed
        self.only_champion_failed += champion.failed and not shadow.failed
        self.only_shadow_failed += shadow.failed and not champion.failed
        if champion.model_ms and shadow.model_ms:
            self.timed += 1
            self.model_diff_us += round((shadow.model_ms - champion.model_ms) * _MILLI)
        for trip in pair.trips:
            diff = round((shadow.eta_s[trip] - champion.eta_s[trip]) * _MILLI)
            bucket = bucket_of(abs(diff))
            self.trips += 1
            self.diff_ms += diff
            self.diff_sq += diff * diff
            self.abs_diff[bucket] = self.abs_diff.get(bucket, 0) + 1

    def label(self, champion_error_s: float, shadow_error_s: float) -> None:
        """Count a trip whose end is known."""
        diff = round((shadow_error_s - champion_error_s) * _MILLI)
        self.labels += 1
        self.error_ms += round(champion_error_s * _MILLI)
        self.error_diff_ms += diff
        self.error_diff_sq += diff * diff

    def pairs(self) -> Pairs:
        """What was counted."""
        return Pairs(
            requests=self.requests,
            trips=self.trips,
            diff_sum=self.diff_ms / _MILLI,
            diff_sumsq=float(self.diff_sq) / _MILLI**2,
            abs_diff=Histogram(dict(self.abs_diff)),
            timed=self.timed,
            model_diff_sum=self.model_diff_us / _MILLI,
            only_champion_failed=self.only_champion_failed,
            only_shadow_failed=self.only_shadow_failed,
            both_failed=self.both_failed,
            labels=self.labels,
            abs_error_sum=self.error_ms / _MILLI,
            abs_error_diff_sum=self.error_diff_ms / _MILLI,
            abs_error_diff_sumsq=float(self.error_diff_sq) / _MILLI**2,
        )
