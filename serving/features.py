"""Looked-up features of a whole request: one read of the online store, under a deadline of our own.

A value is absent (NaN) where the store has none, where it would be older than its view's TTL when the trip starts, and
where it is stamped further in the future than clocks may differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from adapters.online_store import OnlineStore, RowLayout
from contracts.errors import SchemaMismatch, Unavailable
from contracts.schema import Floats, Lookup, ViewSpec


class FeatureReader:
    """Reads the columns ``role.feature`` of trips, given the keys of every role."""

    def __init__(
        self,
        store: OnlineStore,
        views: Sequence[ViewSpec],
        lookups: Sequence[Lookup],
        *,
        deadline_s: float,
        future_skew_s: float,
    ) -> None:
        self._store = store
        self._deadline_s = deadline_s
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

    async def read(self, keys: Mapping[str, Sequence[str]], at: Floats, now: float) -> dict[str, Floats]:
        """Columns [n] by name, for the keys [n] of every role and start times [n] (epoch seconds).

        Raises Unavailable with reason ``features_timeout`` or ``features_unavailable``.
        """
        if not self._names:
            return {}
        places: dict[tuple[str, str], int] = {}
        positions = {
            role: [places.setdefault((entity, key), len(places)) for key in keys[role]]
            for role, entity in self._entities.items()
        }
        try:
            async with asyncio.timeout(self._deadline_s):
                rows = await self._store.read(list(places))
        except TimeoutError:
            limit = f"no answer within {self._deadline_s * 1000:g} ms"
            raise Unavailable("online store", "features_timeout", limit) from None
        wide = np.array([_side_by_side(rows, of) for of in zip(*positions.values(), strict=True)])
        return self._columns(wide, at, now)

    def _columns(self, wide: Floats, at: Floats, now: float) -> dict[str, Floats]:
        event_time = wide[:, self._times]
        # Live values say nothing of a trip that starts long after them, however fresh they are now.
        age_s = np.maximum(at, now)[:, None] - event_time
        present = (age_s <= self._ttls) & (event_time <= now + self._skew_s)
        values = np.where(present, wide[:, self._values], np.nan)
        return dict(zip(self._names, values.T, strict=True))


def _side_by_side(rows: Sequence[list[float]], positions: Sequence[int]) -> list[float]:
    wide: list[float] = []
    for position in positions:
        wide += rows[position]
    return wide
