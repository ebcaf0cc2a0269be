"""What every application of table B does with a trip, by the contract's own arithmetic: keys, then the vector."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from adapters.artifact_store import ZONES_FILE
from adapters.tables import read_zones
from contracts.features import LOOKED_UP, LOOKUPS, VIEWS
from contracts.schema import Floats, Matrix
from contracts.transforms import trip_keys, trip_vectors

ZONES = read_zones(Path(os.environ["BENCH_MODEL"]).parent / ZONES_FILE)
ENTITY_OF_VIEW = {view.name: view.entity for view in VIEWS}
ENTITY_OF_ROLE = {lookup.role: ENTITY_OF_VIEW[lookup.view] for lookup in LOOKUPS}


class Trips:
    """A request's trips: zone ids and start times, [n] each."""

    def __init__(self, pickup: Sequence[str], dropoff: Sequence[str], at: Sequence[datetime]) -> None:
        self._at = np.array([moment.timestamp() for moment in at])
        self._pickup, self._dropoff = ZONES.positions(pickup), ZONES.positions(dropoff)
        self.keys = trip_keys(pickup, dropoff, self._at)
        self.rows = len(pickup)

    def vectors(self, looked_up: Mapping[str, Floats]) -> Matrix:
        """The model's input, from columns ``role.feature``."""
        values = np.array([looked_up[name] for name in LOOKED_UP])
        return trip_vectors(ZONES, self._pickup, self._dropoff, self._at, values)


def answer(results: Sequence[Any]) -> dict[str, Any]:
    """Estimates in the form of `POST /v1/eta`."""
    eta, low, high = (values[:, 0].tolist() for values in results)
    return {
        "etas": [
            {"id": str(i), "eta_s": e, "low_s": lo, "high_s": hi}
            for i, (e, lo, hi) in enumerate(zip(eta, low, high, strict=True))
        ]
    }
