"""Looked-up features of a whole request: one read of the online store, whose deadline is `CachedRows`'.

A value is absent (NaN) where the store has none, where it would be older than its view's TTL when the trip starts, and
where it is stamped further in the future than clocks may differ. A store without any value for a request is as good as
gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from msgspec import Struct

from adapters.online_store import RowLayout
from contracts.errors import SchemaMismatch, Unavailable
from contracts.schema import Floats, Lookup, ViewSpec
from serving.cache import Key
from serving.cached_rows import Found


class Rows(Protocol):
    """The store's rows, in time."""

    def lookup(self, keys: Sequence[Key]) -> Found:
        """Rows that are at hand."""
        ...

    async def fetch(self, keys: Sequence[Key], found: Found, within_s: float = math.inf) -> Floats:
        """Fill in the missing rows; raises Unavailable."""
        ...


@dataclass(slots=True)
class Looking:
    """A request's keys, and the rows that were at hand."""

    keys: list[Key]
    found: Found


class LookedUp(Struct, frozen=True):
    """Values [columns, n] in the order of `FeatureReader.names`, and ages in seconds [lookups, n]; NaN is absent."""

    values: Floats
    ages_s: Floats
    stale: bool = False  # rows past their time stood in for a store that is gone


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
        by_name = {view.name: view for view in views}
        unknown = [lookup.view for lookup in lookups if lookup.view not in by_name]
        if unknown:
            raise SchemaMismatch("lookups", f"view {unknown[0]!r}", f"one of {sorted(by_name)}")
        self._entities: Final = {lookup.role: by_name[lookup.view].entity for lookup in lookups}
        self._plan(by_name, lookups, RowLayout(views).offsets)

    def _plan(self, views: Mapping[str, ViewSpec], lookups: Sequence[Lookup], offsets: Mapping[str, int]) -> None:
        """Say where each column stands in the rows [roles, n, width], so that one gather serves all of them."""
        roles = {role: i for i, role in enumerate(self._entities)}
        names, role_of, value_at, lookup_of = [], [], [], []
        for number, lookup in enumerate(lookups):
            for i, feature in enumerate(views[lookup.view].features):
                names.append(f"{lookup.role}.{feature}")
                role_of.append(roles[lookup.role])
                value_at.append(offsets[lookup.view] + 1 + i)
                lookup_of.append(number)
        self.names = tuple(names)
        self._role_of, self._value_at, self._lookup_of = np.array([role_of, value_at, lookup_of], dtype=np.intp)
        self._time_role = np.array([roles[lookup.role] for lookup in lookups], dtype=np.intp)
        self._time_at = np.array([offsets[lookup.view] for lookup in lookups], dtype=np.intp)
        self._ttls = np.array([[views[lookup.view].ttl_s] for lookup in lookups])

    def begin(self, keys: Mapping[str, Sequence[str]]) -> Looking:
        """Look into the cache, for the keys [n] of every role."""
        wanted = [(entity, key) for role, entity in self._entities.items() for key in keys[role]]
        return Looking(wanted, self._rows.lookup(wanted))

    async def complete(self, looking: Looking, within_s: float = math.inf) -> None:
        """Read what was not at hand; raises Unavailable (``features_timeout`` or ``features_unavailable``)."""
        if looking.found.missing:
            await self._rows.fetch(looking.keys, looking.found, within_s)

    def columns(self, looking: Looking, at: Floats, now: float) -> LookedUp:
        """Values for start times [n] (epoch seconds).

        Raises Unavailable (``features_unavailable``) where the store has no value for any of the trips: it was not
        filled.
        """
        rows = looking.found.rows.reshape(len(self._entities), len(at), -1)
        event_time = rows[self._time_role, :, self._time_at]
        # Live values say nothing of a trip that starts long after them, however fresh they are now.
        age_s = np.maximum(at, now) - event_time
        present = (age_s <= self._ttls) & (event_time <= now + self._skew_s)
        found = np.count_nonzero(present)
        if not found:
            detail = f"no current value in the rows of any of {len(at)} trips"
            raise Unavailable("online store", "features_unavailable", detail)
        values = rows[self._role_of, :, self._value_at]
        if found < present.size:
            values[~present[self._lookup_of]] = np.nan
            age_s[~present] = np.nan
        return LookedUp(values, age_s, looking.found.stale)

    async def read(
        self, keys: Mapping[str, Sequence[str]], at: Floats, now: float, within_s: float = math.inf
    ) -> LookedUp:
        """All of it: look, read what is missing, and judge."""
        looking = self.begin(keys)
        await self.complete(looking, within_s)
        return self.columns(looking, at, now)
