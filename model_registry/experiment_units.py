"""Experiment units with what they did in a test and before it, and the read-out's figures from them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final

import numpy as np
from msgspec import Struct

from model_registry.experiment import Effect, compare, difference_in_differences, stratified
from model_registry.stats import Estimate
from model_registry.tally import Side
from model_registry.unit_means import UnitMeans

_FEWEST: Final = 2  # units an arm needs for a variance


class FirstSeen(Struct, frozen=True):
    """When and where a unit first asked in the test: what it was like before it could have been told apart."""

    at: float  # epoch seconds
    zone: str


Stratum = Callable[[FirstSeen], Hashable]


class Units:
    """One metric's values by unit and arm, and the units' history."""

    def __init__(self) -> None:
        self.arms = (UnitMeans(), UnitMeans())
        self.history = UnitMeans()

    def effect(self, *, split: float, tuning: float) -> Effect | None:
        """The candidate's effect with what the history explains taken out; None with too few units."""
        champion, candidate = (arm.moments(self.history) for arm in self.arms)
        if min(champion.n, candidate.n) < _FEWEST:
            return None
        return compare(champion, candidate, split=split, tuning=tuning)

    def within(self, seen: dict[int, FirstSeen], stratum: Stratum) -> tuple[Estimate, float] | None:
        """The difference within strata, and of which share of the units: others have no match in the other arm."""
        rows = [(mean, side, stratum(seen[key])) for side, arm in enumerate(self.arms) for key, mean in arm.means()]
        counts = Counter((name, side) for _, side, name in rows)
        kept = [row for row in rows if min(counts[row[2], 0], counts[row[2], 1]) >= _FEWEST]
        if not kept:
            return None
        y, on, names = zip(*kept, strict=True)
        return stratified(y, on, [str(name) for name in names]), len(kept) / len(rows)

    def against_own_past(self) -> tuple[Estimate, float] | None:
        """Difference in differences over units that have a history, and which share of the units those are."""
        pairs: list[tuple[list[float], list[float]]] = []
        total = 0
        for arm in self.arms:
            before, after = list[float](), list[float]()
            for key, mean in arm.means():
                past = self.history.mean(key, math.nan)
                total += 1
                if not math.isnan(past):
                    before.append(past)
                    after.append(mean)
            pairs.append((before, after))
        if min(len(before) for before, _ in pairs) < _FEWEST:
            return None
        (before_a, after_a), (before_b, after_b) = (tuple(map(np.array, pair)) for pair in pairs)
        return difference_in_differences(before_a, after_a, before_b, after_b), sum(len(b) for b, _ in pairs) / total


class Experiment:
    """Gathers all metrics of a test."""

    def __init__(self, metrics: tuple[str, ...]) -> None:
        self.units = {metric: Units() for metric in metrics}
        self.seen: dict[int, FirstSeen] = {}

    def add(self, side: Side, key: int, first: FirstSeen, values: dict[str, list[int]]) -> None:
        """Count a request's values (thousandths, by metric) of a unit in the test."""
        known = self.seen.get(key)
        if known is None or first.at < known.at:
            self.seen[key] = first
        for metric, found in values.items():
            self.units[metric].arms[side].add(key, found)

    def remember(self, key: int, values: dict[str, list[int]]) -> None:
        """Count a request's values of a unit before the test."""
        for metric, found in values.items():
            self.units[metric].history.add(key, found)

    def adjusted(self, strata: dict[str, Stratum]) -> dict[str, dict[str, Estimate]]:
        """By metric and words, the estimates that take confounders out, as far as the data allow them."""
        found: dict[str, dict[str, Estimate]] = {}
        for metric, units in self.units.items():
            estimates = {f"within {name}": units.within(self.seen, stratum) for name, stratum in strata.items()}
            estimates["against its own past"] = units.against_own_past()
            found[metric] = {
                f"{name}, {100 * share:.0f} % of units": estimate
                for name, both in estimates.items()
                if both
                for estimate, share in (both,)
            }
        return found
