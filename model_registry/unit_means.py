"""A metric's means by experiment unit, and their moments: what an A/B test compares. Values are thousandths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from model_registry.evidence import Moments

_MILLI: Final = 1000


class UnitMeans:
    """Sums by unit, in memory: some 200 bytes a unit. In whole thousandths, so that their order changes nothing."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[int, int]] = {}  # by unit: how many values, and their sum
        self._alone = [0, 0, 0]  # units of one request: how many, the sum of their means, and of their squares

    def add(self, key: int | None, values: Sequence[int]) -> None:
        """Count values of a unit; None is a request that was a unit of its own, without a history."""
        if not values:
            return
        if key is None:
            mean = round(sum(values) / len(values))
            for i, term in enumerate((1, mean, mean * mean)):
                self._alone[i] += term
            return
        n, total = self._sums.get(key, (0, 0))
        self._sums[key] = n + len(values), total + sum(values)

    def mean(self, key: int, unknown: float) -> float:
        """A unit's mean, or what stands for it where it has no value."""
        n, total = self._sums.get(key, (0, 0))
        return total / n / _MILLI if n else unknown

    def moments(self, history: UnitMeans) -> Moments:
        """Sums over units; x is a unit's mean in its history, less the mean of all there, and 0 where it has none."""
        centre = history.centre()
        rows = [(mean, history.mean(key, centre) - centre) for key, mean in self._means()]
        return Moments(
            n=len(rows) + self._alone[0],
            y=math.fsum(y for y, _ in rows) + self._alone[1] / _MILLI,
            yy=math.fsum(y * y for y, _ in rows) + self._alone[2] / _MILLI**2,
            x=math.fsum(x for _, x in rows),
            xx=math.fsum(x * x for _, x in rows),
            xy=math.fsum(x * y for y, x in rows),
        )

    def centre(self) -> float:
        """The mean over units; 0 where there are none."""
        means = [mean for _, mean in self._means()]
        return math.fsum(means) / len(means) if means else 0.0

    def _means(self) -> Iterator[tuple[int, float]]:
        for key, (n, total) in self._sums.items():
            yield key, total / n / _MILLI
