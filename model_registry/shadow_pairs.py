"""Puts a shadow's answers beside those that callers got to the same requests, whichever of the two is seen first."""

from __future__ import annotations

from typing import Final, NamedTuple

from contracts.answered import Answered
from contracts.predictions import SHADOW
from model_registry.evidence import Pairs
from model_registry.histogram import Histogram, bucket_of

_MILLI: Final = 1e3


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


class Matching:
    """Holds what has no counterpart yet, in memory, until `forget`."""

    def __init__(self) -> None:
        self._waiting: tuple[dict[str, Answered], dict[str, Answered]] = ({}, {})
        self.unmatched_shadows = 0

    def add(self, one: Answered) -> Pair | None:
        """The pair that this record completes."""
        is_shadow = one.kind == SHADOW
        other = self._waiting[not is_shadow].pop(one.request_id, None)
        if other is None:
            self._waiting[is_shadow][one.request_id] = one
            return None
        return Pair(other, one) if is_shadow else Pair(one, other)

    def forget(self, before: float) -> None:
        """Let go of what was answered before an epoch time: most was never mirrored."""
        for waiting in self._waiting:
            old = [name for name, one in waiting.items() if one.at < before]
            for name in old:
                del waiting[name]
            if waiting is self._waiting[1]:
                self.unmatched_shadows += len(old)


class PairTally:
    """Sums over pairs, of whole milliseconds and microseconds, so that their order changes nothing."""

    def __init__(self) -> None:
        self._requests = self._trips = self._timed = 0
        self._diff_ms = self._diff_sq = self._model_diff_us = 0
        self._abs_diff: dict[int, int] = {}
        self._failed = {(True, False): 0, (False, True): 0, (True, True): 0}

    def add(self, pair: Pair) -> None:
        """Count one."""
        champion, shadow = pair
        self._requests += 1
        failed = champion.failed, shadow.failed
        if any(failed):
            self._failed[failed] += 1
        if champion.model_ms and shadow.model_ms:
            self._timed += 1
            self._model_diff_us += round((shadow.model_ms - champion.model_ms) * _MILLI)
        for trip in pair.trips:
            diff = round((shadow.eta_s[trip] - champion.eta_s[trip]) * _MILLI)
            bucket = bucket_of(abs(diff))
            self._trips += 1
            self._diff_ms += diff
            self._diff_sq += diff * diff
            self._abs_diff[bucket] = self._abs_diff.get(bucket, 0) + 1

    def pairs(self) -> Pairs:
        """What was counted."""
        return Pairs(
            requests=self._requests,
            trips=self._trips,
            diff_sum=self._diff_ms / _MILLI,
            diff_sumsq=self._diff_sq / _MILLI**2,
            abs_diff=Histogram(dict(self._abs_diff)),
            timed=self._timed,
            model_diff_sum=self._model_diff_us / _MILLI,
            only_champion_failed=self._failed[True, False],
            only_shadow_failed=self._failed[False, True],
            both_failed=self._failed[True, True],
        )
