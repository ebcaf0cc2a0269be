"""A latency histogram that merges by addition: logarithmic buckets, each value within 2 % of its bucket's edges."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from model_registry.bounds import rank_lower, rank_upper

GROWTH = 1.02  # an edge over the one below
FIRST = 0.01  # milliseconds; anything below stands in bucket 0
_LOG_GROWTH = math.log(GROWTH)


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts by bucket: bucket i > 0 holds (FIRST * GROWTH^(i-1), FIRST * GROWTH^i] milliseconds."""

    counts: dict[int, int] = {}

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> Histogram:
        """Count values; raises ValueError on what is not a duration (negative, NaN, infinite)."""
        counts: dict[int, int] = {}
        for value in values_ms:
            bucket = bucket_of(value)
            counts[bucket] = counts.get(bucket, 0) + 1
        return cls(counts)

    @property
    def n(self) -> int:
        """How many values."""
        return sum(self.counts.values())

    def quantile(self, q: float) -> float:
        """Upper edge of the bucket that holds the quantile, in ms; NaN where empty."""
        return self._edge(max(1, math.ceil(q * self.n)))

    def lower(self, q: float, alpha: float) -> float:
        """Order-statistic lower bound of the quantile in ms, wrong at most `alpha` of the time; 0 where none is sure.

        It is a bucket's lower edge, so that rounding proves nothing.
        """
        rank = rank_lower(self.n, q, alpha)
        edge = self._edge(rank) / GROWTH if rank else 0.0
        return edge if edge >= FIRST else 0.0

    def upper(self, q: float, alpha: float) -> float:
        """Order-statistic upper bound of the quantile in ms; infinite where none is sure."""
        n = self.n
        rank = rank_upper(n, q, alpha)
        return self._edge(rank) if rank <= n else math.inf

    def _edge(self, rank: int) -> float:
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return FIRST * GROWTH**bucket
        return math.nan


def bucket_of(value_ms: float) -> int:
    """The bucket of a duration in ms; raises ValueError on what is not one."""
    if not 0.0 <= value_ms < math.inf:
        raise ValueError(f"{value_ms} ms is not a duration")
    return max(0, math.ceil(math.log(value_ms / FIRST) / _LOG_GROWTH)) if value_ms > FIRST else 0


def merge(parts: Iterable[Histogram]) -> Histogram:
    """One histogram of all the values of several."""
    counts: dict[int, int] = {}
    for part in parts:
        for bucket, count in part.counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
    return Histogram(counts)
