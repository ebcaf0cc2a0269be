"""The live views from cells: what ended within one step of the grid, summed, for each key.

Pure. A row depends on the cells and the grid time alone, so any consumer at any time makes the same one, and it is the
row that history has for that time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from contracts.counted_trips import CountedTrip
from contracts.features import SHORT_GRID_S, SHORT_WINDOWS_S
from contracts.local_time import Ints
from contracts.schema import Floats
from contracts.trips import CITY
from feature_repo.windows import MICRO, WindowRows, grid_after

Cell = tuple[int, int, int]  # trips, sums of their values in millionths
GRID_US: Final = SHORT_GRID_S * MICRO
_WINDOWS_US: Final = np.array([seconds * MICRO for seconds in SHORT_WINDOWS_S.values()])
LONGEST_US: Final = int(_WINDOWS_US.max())
KEPT_US: Final = 2 * LONGEST_US
"""Older cells are let go: a key's last row, that its windows are empty, was due by half of that."""


class Addition(NamedTuple):
    """One trip, for one key."""

    entity: str
    key: str
    cell_us: int
    trip_id: str
    values: tuple[int, int]


@dataclass(frozen=True)
class LiveRow:
    """A row of a live view; of two with one time, that of more trips knows more."""

    event_us: int
    values: tuple[float, ...]
    trips: int


def additions(trips: Sequence[CountedTrip]) -> list[Addition]:
    """What trips add to the city and to the zones they touched, once where they stayed in one."""
    found = []
    cells = grid_after(np.array([trip.ended_us for trip in trips], dtype=np.int64), GRID_US).tolist()
    for trip, cell in zip(trips, cells, strict=True):
        both = (trip.log_ratio, trip.speed)
        found.append(Addition("city", CITY, cell, trip.trip_id, both))
        touched = dict.fromkeys((trip.pickup_zone, trip.dropoff_zone))
        found.extend(Addition("zone", zone, cell, trip.trip_id, both) for zone in touched)
    return found


def grid_before(at_us: int) -> int:
    """The last grid time at or before a moment: rows of it are what can be known then."""
    return at_us // GRID_US * GRID_US


def live_row(cells: Mapping[int, Cell], at_us: int) -> LiveRow | None:
    """The row in force at a moment: that of the last grid time at which a trip entered or left a window.

    None where no trip has.
    """
    grid_us = grid_before(at_us)
    times = np.array(sorted(cell for cell in cells if cell <= grid_us), dtype=np.int64)
    if not len(times):
        return None
    moments = (times[:, None] + np.concatenate([[0], _WINDOWS_US])).ravel()
    event_us = int(moments[moments <= grid_us].max())
    sums = np.array([cells[int(time)] for time in times], dtype=np.int64)
    inside = times[None, :] > (event_us - _WINDOWS_US)[:, None]
    totals: Ints = inside.astype(np.int64) @ sums
    rows = WindowRows(np.array([event_us]), totals[None, :, 0], totals[None, :, 1:])
    means: Floats = rows.means()[0]
    values = np.column_stack([totals[:, 0].astype(np.float64), means])
    return LiveRow(event_us, tuple(values.ravel().tolist()), int(totals[:, 0].max()))
