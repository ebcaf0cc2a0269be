"""Looked-up features of a whole request: one read of the online store, whose deadline is `CachedRows`'.

A value is absent (NaN) where the store has none, where it would be older than its view's TTL when the trip starts, and
where it is stamped further in the future than clocks may differ. A store without any value for a request is as good as
gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from adapters.online_store import Row, RowLayout, Wanted
from contracts.errors import SchemaMismatch, Unavailable
from contracts.schema import Floats, Lookup, ViewSpec


class Rows(Protocol):
    """The store's rows, in time."""

    async def read(self, wanted: Wanted, within_s: float = math.inf) -> list[Row]:
        """Rows in the order of (entity, key); raises Unavailable."""
        ...


class FeatureReader:
    """Reads the columns ``role.feature`` of trips, given the keys of every role."""

    def __init__(
        self,
        rows: Rows,
        views: Sequence[ViewSpec],
        lookups: Sequence[Lookup],
        *,
        future_skew_s: float,
    ) -> None:
        self._rows = rows
        self._skew_s = future_skew_s
        self._widths: Final = RowLayout(views).widths
        by_name = {view.name: view for view in views}
        unknown = [lookup.view for lookup in lookups if lookup.view not in by_name]
        if unknown:
            raise SchemaMismatch("lookups", f"view {unknown[0]!r}", f"one of {sorted(by_name)}")
        self._entities: Final = {lookup.role: by_name[lookup.view].entity for lookup in lookups}
        self._plan(by_name, lookups, RowLayout(views).offsets)

    def _plan(self, views: Mapping[str, ViewSpec], lookups: Sequence[Lookup], offsets: Mapping[str, int]) -> None:
        """Lay the rows of all roles side by side; then one gather and one comparison serve every column."""
        starts: dict[str, int] = {}
        width = 0
        for role, entity in self._entities.items():
            starts[role], width = width, width + self._widths[entity]
        names, values, times, ttls = [], [], [], []
        for lookup in lookups:
            view, start = views[lookup.view], starts[lookup.role] + offsets[lookup.view]
            for i, feature in enumerate(view.features):
                names.append(f"{lookup.role}.{feature}")
                values.append(start + 1 + i)
                times.append(start)
                ttls.append(view.ttl_s)
        self._names = tuple(names)
        self._values = np.array(values, dtype=np.intp)
        self._times = np.array(times, dtype=np.intp)
        self._ttls = np.array(ttls, dtype=np.float64)

    async def read(
        self, keys: Mapping[str, Sequence[str]], at: Floats, now: float, within_s: float = math.inf
    ) -> dict[str, Floats]:
        """Columns [n] by name, for the keys [n] of every role and start times [n] (epoch seconds).

        Raises Unavailable with reason ``features_timeout`` or ``features_unavailable``, the latter also where the store
        answers and has no value for any of the trips: it was not filled.
        """
        if not self._names:
            return {}
        places: dict[tuple[str, str], int] = {}
        positions = {
            role: [places.setdefault((entity, key), len(places)) for key in keys[role]]
            for role, entity in self._entities.items()
        }
        rows = await self._rows.read(list(places), within_s)
        wide = np.array([_side_by_side(rows, of) for of in zip(*positions.values(), strict=True)])
        return self._columns(wide, at, now)

    def _columns(self, wide: Floats, at: Floats, now: float) -> dict[str, Floats]:
        event_time = wide[:, self._times]
        # Live values say nothing of a trip that starts long after them, however fresh they are now.
        age_s = np.maximum(at, now)[:, None] - event_time
        present = (age_s <= self._ttls) & (event_time <= now + self._skew_s)
        if not present.any():
            detail = f"no current value in the rows of any of {len(wide)} trips"
            raise Unavailable("online store", "features_unavailable", detail)
        values = np.where(present, wide[:, self._values], np.nan)
        return dict(zip(self._names, values.T, strict=True))


def _side_by_side(rows: Sequence[list[float]], positions: Sequence[int]) -> list[float]:
    wide: list[float] = []
    for position in positions:
        wide += rows[position]
    return wide
