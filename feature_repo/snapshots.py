"""Statistics of a day's trips that fade: snapshots at local midnight of exponentially decayed, mergeable sums.

The snapshot of a midnight holds the trips that had ended before it, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.local_time import Ints
from contracts.schema import Floats

HALF_LIFE_DAYS: Final = 60.0
REWRITE_DAYS: Final = 28  # a snapshot is written again this often although nothing but its weight has changed
FORGET_WEIGHT: Final = 0.05  # below this a key is let go


@dataclass(frozen=True)
class Snapshots:
    """Decayed sums [r, m] by key (a code) and local day at whose midnight they hold, sorted by (key, day)."""

    key: npt.NDArray[np.intp]
    day: Ints
    sums: Floats

    def as_of(self, key: npt.NDArray[np.intp], day: Ints, max_age_days: float) -> Floats:
        """Sums [n, m] in force at the midnights of days [n]; zeros where there are none, or none that young."""
        first = int(min(self.day.min(initial=0), day.min(initial=0)))
        span = int(max(self.day.max(initial=0), day.max(initial=0))) - first + 1
        found = np.searchsorted(self.key * span + self.day - first, key * span + day - first, side="right") - 1
        row = np.maximum(found, 0)
        if not len(self.key):
            return np.zeros((len(key), self.sums.shape[1]))
        present = (found >= 0) & (self.key[row] == key) & (day - self.day[row] <= max_age_days)
        sums: Floats = np.where(present[:, None], self.sums[row], 0.0)
        return sums


def daily_snapshots(
    key: npt.NDArray[np.intp], day: Ints, values: Floats, keys: int, *, half_life_days: float = HALF_LIFE_DAYS
) -> Snapshots:
    """Roll sums forward from midnight to midnight.

    Args:
        key: codes 0..keys-1 of what each event [n] counts for.
        day: local day on which it was known [n].
        values: what is summed [n, m]; the first column is the weight.
        keys: number of codes.
        half_life_days: after how many more days an event counts half; those of the day just over count whole.

    Returns:
        A row for each midnight at which a key's sums had gained events since the one before, and every
        REWRITE_DAYS at least, until its weight is below FORGET_WEIGHT.

    """
    decay = 0.5 ** (1.0 / half_life_days)
    order = np.argsort(day, kind="stable")
    key, day, values = key[order], day[order], values[order]
    state = np.zeros((keys, values.shape[1]))
    written = np.zeros(keys, dtype=np.int64)
    out_key, out_day, out_sums = [], [], []
    first, last = (int(day[0]), int(day[-1])) if len(day) else (0, -1)
    for today in range(first, last + 1):
        here = slice(*np.searchsorted(day, [today, today + 1]))
        state *= decay
        np.add.at(state, key[here], values[here])
        gained = np.zeros(keys, dtype=np.bool_)
        gained[key[here]] = True
        idle = (today + 1 - written >= REWRITE_DAYS) & (state[:, 0] >= FORGET_WEIGHT)
        rows = np.flatnonzero(gained | idle)
        written[rows] = today + 1
        out_key.append(rows)
        out_day.append(np.full(len(rows), today + 1, dtype=np.int64))
        out_sums.append(state[rows])
    if not out_key:
        return Snapshots(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64), np.empty((0, values.shape[1])))
    all_keys = np.concatenate(out_key)
    by_key = np.argsort(all_keys, kind="stable")  # the days were in order
    return Snapshots(all_keys[by_key], np.concatenate(out_day)[by_key], np.concatenate(out_sums)[by_key])


def mean_of(total: Floats, weight: Floats) -> Floats:
    """Total / weight, NaN where there is no weight."""
    mean: Floats = np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
    return mean
