"""Times between zones as the online tier knows them: features, the model for hundreds of rows, else the heuristic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import numpy as np

from contracts.errors import Unavailable
from contracts.schema import Floats
from contracts.zones import Positions
from serving.artifacts import LoadedModel
from serving.eta import Reason
from serving.features import LookedUp
from serving.sanity import MAX_ETA_S
from serving.trips import TripFeatures, Trips

Look = Callable[[Mapping[str, Sequence[str]], Floats], LookedUp]
"""Looks columns up for the keys [n] of every role and start times [n]; raises Unavailable."""

_LOG: Final = logging.getLogger(__name__)


class ZoneEtas:
    """A `PairEtas` for one piece of work; `source` and `reason` tell of the last answer."""

    def __init__(
        self, model: LoadedModel, trips: TripFeatures, look: Look, *, allow: Callable[[], None] = lambda: None
    ) -> None:
        self._model = model
        self._trips = trips
        self._look = look
        self._allow = allow  # raises Unavailable while the kill switch is on
        self.source: Literal["model", "fallback"] = "model"
        self.reason = ""

    def seconds(self, pickup: Positions, dropoff: Positions, at: float) -> Floats:
        """See PairEtas."""
        zones = self._model.zones
        origins, destinations = [zones.ids[i] for i in pickup.tolist()], [zones.ids[i] for i in dropoff.tolist()]
        trips = Trips([""] * len(pickup), origins, destinations, pickup, dropoff, np.full(len(pickup), at))
        try:
            self._allow()
            looked_up = self._look(self._trips.keys(zones, trips), trips.at)
            matrix = self._trips.vectors(zones, trips, looked_up.values)
            eta_s = self._model.matrix.run(matrix)[0].astype(np.float64)
        except Unavailable as error:
            return self._fallback(trips, Reason(error.reason))
        except Exception:  # noqa: BLE001 - whatever the model does, there is an estimate
            _LOG.exception("%s failed, the heuristic answers", self._model.name)
            return self._fallback(trips, Reason.MODEL_ERROR)
        self.source, self.reason = "model", Reason.FEATURES_STALE if looked_up.stale else ""
        sane = (eta_s > 0.0) & (eta_s <= MAX_ETA_S)  # false for NaN
        if sane.all():
            return eta_s
        return np.where(sane, eta_s, self._fallback(trips, Reason.MODEL_OUTPUT))

    def _fallback(self, trips: Trips, why: Reason) -> Floats:
        self.source, self.reason = "fallback", why
        return self._trips.heuristic(self._model.heuristic, self._model.zones, trips)
