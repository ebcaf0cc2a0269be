"""THE use case: a request's trips -> features -> the model, or the heuristic with the reason why."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from adapters.onnx_session import Seconds
from contracts.clock import Clock
from contracts.errors import Unavailable
from contracts.messages import Eta, EtaRequest, EtaResponse
from serving.artifacts import LoadedModel
from serving.call import Call
from serving.features import FeatureReader
from serving.request_ids import RequestIds
from serving.routing import Routing
from serving.telemetry import Telemetry
from serving.trips import TripFeatures, Trips, resolve

ARM_CHAMPION: Final = "champion"
MAX_INLINE_TRIPS: Final = 64
# Longer than any trip that training has seen; a model that says so is out of its mind.
MAX_ETA_S: Final = 4 * 3600.0
_LOG: Final = logging.getLogger(__name__)
_Estimate = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating], npt.NDArray[np.floating]]


class Reason(enum.StrEnum):
    """Why the heuristic answered; the first three are the reasons of features and route table when `Unavailable`."""

    FEATURES_TIMEOUT = "features_timeout"
    FEATURES_UNAVAILABLE = "features_unavailable"
    KILL_SWITCH = "kill_switch"
    MODEL_ERROR = "model_error"
    MODEL_OUTPUT = "model_output_invalid"


class EtaService:
    """Answers every trip of a request.

    Single looked-up values may be absent, which the model was trained for; a store that says nothing at all is a reason
    for the heuristic, since without the pairs' statistics the model knows less than it does.
    """

    def __init__(
        self,
        *,
        routing: Routing,
        trips: TripFeatures,
        features: FeatureReader,
        request_ids: RequestIds,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._routing = routing
        self._trips = trips
        self._features = features
        self._request_ids = request_ids
        self._telemetry = telemetry
        self._clock = clock

    async def estimate(self, request: EtaRequest, call: Call) -> EtaResponse:
        """Answer in the order of the trips; raises InvalidInput, or Unavailable before any model is loaded."""
        now = self._clock.now()
        model = self._routing.champion()
        trips = resolve(request.trips, model.zones, model.locator, now)
        try:
            estimate: _Estimate = await self._by_model(model, trips, now, call)
            reason = Reason.MODEL_OUTPUT
        except Unavailable as error:
            estimate, reason = _nothing(len(trips.ids)), Reason(error.reason)
        except Exception:  # noqa: BLE001 - whatever the model does, the caller gets an estimate
            _LOG.exception("%s failed, the heuristic answers", model.name)
            estimate, reason = _nothing(len(trips.ids)), Reason.MODEL_ERROR
        failed = ~_sane(*estimate)
        if failed.any():
            estimate = self._by_heuristic(model, trips, estimate, failed)
        self._count(model.name, failed, reason)
        return EtaResponse(self._request_ids.issue(now), _answers(trips.ids, estimate, failed, model.name, reason))

    async def check(self) -> None:
        """Let the champion answer a golden vector; raises Unavailable where it can't."""
        model = self._routing.champion()
        if not _sane(*model.onnx.run(model.probe)).all():
            raise Unavailable("model", Reason.MODEL_OUTPUT, model.name)

    async def _by_model(
        self, model: LoadedModel, trips: Trips, now: float, call: Call
    ) -> tuple[Seconds, Seconds, Seconds]:
        self._routing.allow_model()
        asked = time.perf_counter()
        keys = self._trips.keys(model.zones, trips)
        looked_up = await call.waiting(self._features.read(keys, trips.at, now, call.deadline - asked))
        call.features_s = time.perf_counter() - asked
        columns = self._trips.columns(model.zones, trips, looked_up)
        matrix = self._trips.schema.to_matrix(columns, len(trips.ids))
        asked = time.perf_counter()
        # A few trips take less than a change of threads; hundreds would keep everyone else waiting.
        few = len(matrix) <= MAX_INLINE_TRIPS
        run = model.onnx.run
        estimate = run(matrix) if few else await call.waiting(asyncio.to_thread(run, matrix))
        call.model_s = time.perf_counter() - asked
        return estimate

    def _by_heuristic(
        self, model: LoadedModel, trips: Trips, estimate: _Estimate, failed: npt.NDArray[np.bool_]
    ) -> _Estimate:
        seconds = self._trips.heuristic(model.heuristic, model.zones, trips)
        low, high = model.heuristic.interval(seconds)
        pairs = zip((seconds, low, high), estimate, strict=True)
        eta, low, high = (np.where(failed, fallback, answered) for fallback, answered in pairs)
        return eta, low, high

    def _count(self, model: str, failed: npt.NDArray[np.bool_], reason: Reason) -> None:
        fallbacks = int(np.count_nonzero(failed))
        if fallbacks < len(failed):
            self._telemetry.estimated(model, ARM_CHAMPION, "model", "", len(failed) - fallbacks)
        if fallbacks:
            self._telemetry.estimated(model, ARM_CHAMPION, "fallback", reason, fallbacks)


def _answers(
    ids: list[str], estimate: _Estimate, failed: npt.NDArray[np.bool_], model: str, reason: Reason
) -> list[Eta]:
    eta, low, high = (np.round(column.astype(np.float64), 2).tolist() for column in estimate)
    return [
        Eta(name, e, lo, hi, model, ARM_CHAMPION, "fallback", reason.value)
        if bad
        else Eta(name, e, lo, hi, model, ARM_CHAMPION, "model", UNSET)
        for name, e, lo, hi, bad in zip(ids, eta, low, high, failed.tolist(), strict=True)
    ]


def _sane(*estimate: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    eta, low, high = estimate
    # Comparisons with NaN are false, so that NaN is never sane.
    sane: npt.NDArray[np.bool_] = (low > 0) & (low <= eta) & (eta <= high) & (eta <= MAX_ETA_S) & np.isfinite(high)
    return sane


def _nothing(rows: int) -> _Estimate:
    empty = np.full(rows, np.nan)
    return empty, empty, empty
