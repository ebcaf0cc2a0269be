"""Trips around a moment, before and after it: what only a teacher may look at, and never at its own fold.

Pure. Sums are whole millionths, so that taking a trip out again leaves exactly what was there without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.distance import typical_log_s
from contracts.hindsight import AROUND_S, WINDOWS, Own
from contracts.local_time import Ints
from contracts.schema import Floats
from contracts.zones import Positions
from feature_repo.trip_values import MAX_LOG_RATIO
from feature_repo.windows import MICRO, to_micro

_PAIR_PRIOR: Final = 3.0  # trips that a pair's mean is shrunk by, towards what is typical of the distance
_LONGEST_S: Final = max(AROUND_S.values())


@dataclass(frozen=True)
class Known:
    """Trips [n]: zones by position, start in whole epoch seconds, straight-line metres, seconds taken, fold."""

    pickup: Positions
    dropoff: Positions
    started_s: Ints
    distance_m: Floats
    duration_s: Floats
    fold: Ints

    def rows(self, which: npt.NDArray[np.bool_]) -> Known:
        """Some of the trips."""
        return Known(
            self.pickup[which],
            self.dropoff[which],
            self.started_s[which],
            self.distance_m[which],
            self.duration_s[which],
            self.fold[which],
        )

    @cached_property
    def log_excess(self) -> Floats:
        """ln(duration / what is typical of the distance) [n]: nothing in it is learned from other trips."""
        excess: Floats = np.log(self.duration_s) - typical_log_s(self.distance_m)
        return np.clip(excess, -MAX_LOG_RATIO, MAX_LOG_RATIO)


class _Sorted(NamedTuple):
    """Trips of an entity by (code, start): keys [m], and running sums [folds, m + 1] without each fold's trips."""

    keys: Ints
    counts: Ints
    sums: tuple[Ints, ...]


class Neighbours:
    """Trips by where and when they began; every question names the fold whose trips it must not see."""

    def __init__(self, known: Known, *, folds: int, zones: int) -> None:
        self._zones = zones
        self._first_s = int(known.started_s.min(initial=np.iinfo(np.int64).max)) if len(known.started_s) else 0
        last_s = int(known.started_s.max()) if len(known.started_s) else 0
        self._span = last_s - self._first_s + 2 * _LONGEST_S + 2
        pair = known.pickup * zones + known.dropoff
        raw = np.tile(to_micro(known.log_excess), (folds, 1))
        net = np.stack([to_micro(_beyond_pair(known, pair, fold)) for fold in range(folds)])
        seen = np.stack([known.fold != fold for fold in range(folds)]).astype(np.int64)
        every = np.arange(len(pair))
        moved = np.flatnonzero(known.pickup != known.dropoff)
        zone, row = np.concatenate([known.pickup, known.dropoff[moved]]), np.concatenate([every, moved])
        started = known.started_s
        self._city = self._sort(np.zeros(len(pair), dtype=np.int64), started, seen, net)
        self._zone = self._sort(zone, started[row], seen[:, row], net[:, row])
        self._pair = self._sort(pair, started, seen, net, raw)

    def around(self, pickup: Positions, dropoff: Positions, at_s: Ints, *, hidden: Ints, own: Own | None) -> Floats:
        """Rows of `contracts.hindsight.AFTERWARDS` [entries, n] for trips or requests [n].

        Args:
            pickup: zone positions.
            dropoff: zone positions.
            at_s: starts in whole epoch seconds.
            hidden: the fold that each must not see, its own trips' or that of whoever will be judged.
            own: what those who are among the known trips added, so that none meets itself; None where none is.

        """
        pair = pickup * self._zones + dropoff
        of_pair = {name: self._window(self._pair, pair, at_s, AROUND_S[name], hidden) for name in AROUND_S}
        mine = np.zeros(len(at_s), dtype=np.int64) if own is None else (own.fold != hidden).astype(np.int64)
        added = np.zeros(len(at_s), dtype=np.int64) if own is None else to_micro(own.log_excess) * mine
        codes = {"city": (self._city, np.zeros(len(at_s), dtype=np.int64))}
        codes |= {"pickup": (self._zone, pickup), "dropoff": (self._zone, dropoff)}
        rows: list[Floats] = []
        for role, windows in WINDOWS.items():
            for name in windows:
                of_these = of_pair[name]
                if role == "pair":
                    count, total = of_these[0] - mine, of_these[2] - added
                else:
                    count, total = self._window(*codes[role], at_s, AROUND_S[name], hidden)[:2]
                    count, total = count - of_these[0], total - of_these[1]
                trips = count.astype(np.float64)
                mean = np.divide(total / MICRO, trips, out=np.full(len(trips), np.nan), where=count > 0)
                rows += [mean, trips]
        return np.array(rows)

    def _sort(self, code: Ints, started_s: Ints, seen: Ints, *values: Ints) -> _Sorted:
        keys = code * self._span + (started_s - self._first_s + _LONGEST_S)
        order = np.argsort(keys, kind="stable")
        counts, *sums = (_running(seen[:, order], value[:, order]) for value in (np.ones_like(seen), *values))
        return _Sorted(keys[order], counts, tuple(sums))

    def _window(self, entity: _Sorted, code: Ints, at_s: Ints, width_s: int, hidden: Ints) -> tuple[Ints, ...]:
        """Trips of the code that began within so many seconds of `at_s`: count, then the sums."""
        at = at_s - self._first_s + _LONGEST_S
        base = code.astype(np.int64) * self._span
        order = np.argsort(base + np.clip(at, 0, self._span - 1))  # ordered needles are found sooner
        first, after = np.empty(len(at), dtype=np.intp), np.empty(len(at), dtype=np.intp)
        low, high = (base + np.clip(at + width, 0, self._span - 1) for width in (-width_s, width_s))
        first[order] = np.searchsorted(entity.keys, low[order], "left")
        after[order] = np.searchsorted(entity.keys, high[order], "right")
        return tuple(table[hidden, after] - table[hidden, first] for table in (entity.counts, *entity.sums))


def _running(seen: Ints, values: Ints) -> Ints:
    """Sums [folds, m + 1] of the values before each place."""
    totals = np.zeros((len(seen), seen.shape[1] + 1), dtype=np.int64)
    np.cumsum(seen * values, axis=1, out=totals[:, 1:])
    return totals


def _beyond_pair(known: Known, pair: Ints, fold: int) -> Floats:
    """Log excess [n] less the mean of the trip's pair over the other folds: a slow hour and a slow pair are two things.

    A trip's own label is in the mean of its own pair alone, whose trips it meets in the pair's windows only: there
    nothing is taken off.
    """
    codes, place = np.unique(pair, return_inverse=True)
    seen = (known.fold != fold).astype(np.float64)
    total = np.bincount(place, weights=seen * known.log_excess, minlength=len(codes))
    trips = np.bincount(place, weights=seen, minlength=len(codes))
    beyond: Floats = known.log_excess - (total / (trips + _PAIR_PRIOR))[place]
    return beyond
