"""Reference durations of trips that just ended, from the pair statistics in the online store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np

from adapters.online_store import OnlineStore, RowLayout
from contracts.errors import Unavailable
from contracts.features import ANY, VIEWS
from contracts.schema import Floats
from contracts.transforms import reference_log_s
from contracts.zones import pair_key, pair_keys

_VIEW: Final = "pair_stats"
_READ_S: Final = 2.0


class References:
    """Reads in one round trip for a batch; the store belongs to an event loop of its own here."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._runner = asyncio.Runner()
        start = RowLayout(VIEWS).offsets[_VIEW] + 1
        features = next(view for view in VIEWS if view.name == _VIEW).features
        self._places = {name: start + features.index(name) for name in ("weight", "log_excess")}

    def of(self, pickup: Sequence[str], dropoff: Sequence[str], distance_m: Floats) -> Floats:
        """Natural log of the reference durations [n] in seconds, for zone ids [n]. Raises Unavailable."""
        keys = {
            "pair": pair_keys(pickup, dropoff),
            "outbound": [pair_key(zone, ANY) for zone in pickup],
            "inbound": [pair_key(ANY, zone) for zone in dropoff],
        }
        wanted = list(dict.fromkeys(key for of in keys.values() for key in of))
        rows = dict(zip(wanted, self._runner.run(self._read(wanted)), strict=True))
        stats = {
            f"{role}.{name}": np.array([rows[key][place] for key in of], dtype=np.float64)
            for role, of in keys.items()
            for name, place in self._places.items()
        }
        return reference_log_s(distance_m, stats)

    def close(self) -> None:
        """Let the connection go."""
        self._runner.run(self._store.close())
        self._runner.close()

    async def _read(self, wanted: list[str]) -> Floats:
        try:
            async with asyncio.timeout(_READ_S):
                return await self._store.read([("pair", key) for key in wanted])
        except TimeoutError:
            raise Unavailable("online store", "features_timeout", f"no answer within {_READ_S:g} s") from None
