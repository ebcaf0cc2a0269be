"""A metric's means by experiment unit, and their moments: what an A/B test compares. Values are thousandths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from model_registry.evidence import Moments

_MILLI: Final = 1000


class UnitMeans(Struct):
    """Sums by unit, in memory: some 200 bytes a unit. In whole thousandths, so that their order changes nothing."""

    sums: dict[int, tuple[int, int]] = {}  # by unit: how many values, and their sum
    alone: int = 0  # units of one request
    alone_sum: int = 0  # of their means
    alone_sq: Decimal = Decimal(0)  # more than 64 bits in time

    def add(self, key: int | None, values: Sequence[int]) -> None:
        """Count values of a unit; None is a request that was a unit of its own, without a history."""
        if not values:
            return
        if key is None:
            mean = round(sum(values) / len(values))
            self.alone += 1
            self.alone_sum += mean
            self.alone_sq += mean * mean
            return
        n, total = self.sums.get(key, (0, 0))
        self.sums[key] = n + len(values), total + sum(values)

    def mean(self, key: int, unknown: float) -> float:
        """A unit's mean, or what stands for it where it has no value."""
        n, total = self.sums.get(key, (0, 0))
        return total / n / _MILLI if n else unknown

    def moments(self, history: UnitMeans) -> Moments:
        """Sums over units; x is a unit's mean in its history, less the mean of all there, and 0 where it has none."""
        centre = history.centre()
        rows = [(mean, history.mean(key, centre) - centre) for key, mean in self.means()]
        return Moments(
            n=len(rows) + self.alone,
            y=math.fsum(y for y, _ in rows) + self.alone_sum / _MILLI,
            yy=math.fsum(y * y for y, _ in rows) + float(self.alone_sq) / _MILLI**2,
            x=math.fsum(x for _, x in rows),
            xx=math.fsum(x * x for _, x in rows),
            xy=math.fsum(x * y for y, x in rows),
        )

    def centre(self) -> float:
        """The mean over units; 0 where there are none."""
        means = [mean for _, mean in self.means()]
        return math.fsum(means) / len(means) if means else 0.0

    def means(self) -> Iterator[tuple[int, float]]:
        """Units that return, by key, and their means."""
        for key, (n, total) in self.sums.items():
            yield key, total / n / _MILLI
