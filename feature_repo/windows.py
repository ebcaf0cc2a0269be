"""Windows over ended trips, in event time on a grid: the value at grid time g holds the trips of (g - W, g].

Pure. A window's state is a count and sums of whole millionths, so it is exact, mergeable and independent of order: what
a stream accumulates equals what history is built from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.local_time import Ints
from contracts.schema import Floats

MICRO: Final = 1_000_000


@dataclass(frozen=True)
class WindowRows:
    """Snapshots of one key at times [r] (µs): counts [r, w] and sums [r, w, m] in millionths, w windows."""

    at: Ints
    counts: Ints
    sums: Ints

    def means(self) -> Floats:
        """Means [r, w, m]; NaN where a window is empty."""
        counts = self.counts[:, :, None].astype(np.float64)
        means: Floats = np.divide(self.sums / MICRO, counts, out=np.full(self.sums.shape, np.nan), where=counts > 0)
        return means


def to_micro(values: Floats) -> Ints:
    """Round to whole millionths."""
    return np.rint(values * MICRO).astype(np.int64)


def grid_after(at: Ints, grid: int) -> Ints:
    """The first grid time at which an event is in the past or present: at or after `at`."""
    return -(-at // grid) * grid


def window_rows(
    ended: Ints, values: Ints, windows: Sequence[int], *, grid: int, until: int, repeat: int | None = None
) -> WindowRows:
    """Build the history of one key.

    Args:
        ended: event times [n] in µs, ascending.
        values: what is summed [n, m], in millionths.
        windows: lengths in µs, multiples of the grid.
        grid: µs between grid times.
        until: µs up to which all events are known; no row is later.
        repeat: a row at least at every multiple of so many µs while the longest window holds an event.

    Returns:
        A row at each grid time at which an event entered or left a window.

    """
    entered = grid_after(ended, grid)
    at = np.unique(np.concatenate([entered, *(entered + window for window in windows)]))
    at = at[at <= until]
    if repeat is not None and len(at):
        longest = max(windows)
        beats = np.arange(grid_after(at[:1], repeat)[0], min(until, int(entered[-1]) + longest) + 1, repeat)
        held = np.searchsorted(ended, beats, "right") > np.searchsorted(ended, beats - longest, "right")
        at = np.union1d(at, beats[held])
    totals = np.zeros((len(ended) + 1, values.shape[1]), dtype=np.int64)
    np.cumsum(values, axis=0, out=totals[1:])
    up_to = np.searchsorted(ended, at, "right")
    since = np.stack([np.searchsorted(ended, at - window, "right") for window in windows], axis=1)
    return WindowRows(at, up_to[:, None] - since, totals[up_to][:, None, :] - totals[since])
