"""THE use case: a request's trips -> route -> features -> the model, or the heuristic with the reason why.

What is at hand is answered at once, without a task of its own; only a row that has to be read or hundreds of trips make
the request wait.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from contracts.clock import Clock
from contracts.errors import InvalidInput, Unavailable
from contracts.messages import Eta, EtaRequest, EtaResponse
from contracts.predictions import Prediction
from contracts.schema import Floats
from serving.call import Call
from serving.features import FeatureReader, Looking
from serving.records import eta_record
from serving.request_ids import RequestIds
from serving.routing import Routing
from serving.running import Outputs, run
from serving.sanity import sane
from serving.shadow import Shadows
from serving.telemetry import Telemetry
from serving.trips import TripFeatures, resolve
from serving.work import Work

_LOG: Final = logging.getLogger(__name__)
_Mask = npt.NDArray[np.bool_]
_Source = tuple[Literal["model", "fallback"], str | UnsetType]


class Reason(enum.StrEnum):
    """Why an answer is less than it could be: the heuristic's, or from stale features.

    The first three are the reasons of features and route table when `Unavailable`.
    """

    FEATURES_TIMEOUT = "features_timeout"
    FEATURES_UNAVAILABLE = "features_unavailable"
    KILL_SWITCH = "kill_switch"
    MODEL_ERROR = "model_error"
    MODEL_OUTPUT = "model_output_invalid"
    FEATURES_STALE = "features_stale"


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
        log: Callable[[Prediction], None],
        shadows: Shadows,
    ) -> None:
        self._routing = routing
        self._trips = trips
        self._features = features
        self._request_ids = request_ids
        self._telemetry = telemetry
        self._clock = clock
        self._log = log
        self._shadows = shadows

    def estimate(self, request: EtaRequest, call: Call) -> EtaResponse | Awaitable[EtaResponse]:
        """Answer in the order of the trips; raises InvalidInput, or Unavailable before any model is loaded."""
        now = self._clock.now()
        request_id = self._request_ids.issue(now)
        if call.override is None:
            unit = request.unit if request.unit is not UNSET else request_id
            route = self._routing.route(unit)
        else:  # without a unit in the log: the split did not choose the arm, so that it is no evidence about it
            unit, route = "", self._routing.route("", call.override)
        trips = resolve(request.trips, route.model.zones, route.model.locator, now)
        work = Work(route, trips, now, unit, request_id)
        call.arm = route.arm
        try:
            self._routing.allow_model()
            asked = time.perf_counter()
            looking = self._features.begin(self._trips.keys(route.model.zones, trips))
            if looking.found.missing:
                return self._after_reading(work, looking, asked, call)
            outputs = self._run(work, looking, asked, call)
            if not isinstance(outputs, tuple):
                return self._after_running(work, outputs, call)
        except InvalidInput:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the model does, the caller gets an estimate
            return self._failed(work, error, call)
        return self._answered(work, outputs, call)

    async def check(self) -> None:
        """Let the champion answer a golden vector; raises Unavailable where it can't."""
        model = self._routing.champion()
        if not all(sane(np.array(model.onnx.run(model.probe)))):
            raise Unavailable("model", Reason.MODEL_OUTPUT, model.name)

    async def _after_reading(self, work: Work, looking: Looking, asked: float, call: Call) -> EtaResponse:
        try:
            try:
                await call.waiting(self._features.complete(looking, call.deadline - asked))
            finally:
                call.features_s = time.perf_counter() - asked
            outputs = self._run(work, looking, asked, call)
            if not isinstance(outputs, tuple):
                outputs = await outputs
        except Exception as error:  # noqa: BLE001 - see `estimate`
            return self._failed(work, error, call)
        return self._answered(work, outputs, call)

    async def _after_running(self, work: Work, outputs: Awaitable[Outputs], call: Call) -> EtaResponse:
        try:
            answered = await outputs
        except Exception as error:  # noqa: BLE001 - see `estimate`
            return self._failed(work, error, call)
        return self._answered(work, answered, call)

    def _run(self, work: Work, looking: Looking, asked: float, call: Call) -> Outputs | Awaitable[Outputs]:
        work.looked_up = self._features.columns(looking, work.trips.at, work.now)
        call.features_s = time.perf_counter() - asked
        work.matrix = self._trips.vectors(work.route.model.zones, work.trips, work.looked_up.values)
        return run(work.route.model.onnx, work.matrix, call)

    def _answered(self, work: Work, outputs: Outputs, call: Call) -> EtaResponse:
        answers = np.array(outputs, dtype=np.float64)
        good = sane(answers)
        if all(good):
            return self._respond(work, answers, None, Reason.MODEL_OUTPUT, call)
        answers = np.where(good, answers, self._by_heuristic(work))
        return self._respond(work, answers, ~np.array(good), Reason.MODEL_OUTPUT, call)

    def _failed(self, work: Work, error: Exception, call: Call) -> EtaResponse:
        if isinstance(error, Unavailable):
            reason = Reason(error.reason)
        else:
            _LOG.error("%s failed, the heuristic answers", work.route.model.name, exc_info=error)
            reason = Reason.MODEL_ERROR
        failed = np.ones(len(work.trips.ids), dtype=np.bool_)
        return self._respond(work, self._by_heuristic(work), failed, reason, call)

    def _by_heuristic(self, work: Work) -> Floats:
        model = work.route.model
        seconds = self._trips.heuristic(model.heuristic, model.zones, work.trips)
        return np.array([seconds, *model.heuristic.interval(seconds)])

    def _respond(self, work: Work, answers: Floats, failed: _Mask | None, why: Reason, call: Call) -> EtaResponse:
        """Answer with seconds [3, n]; `failed` says which of them are the heuristic's, and `why`."""
        model, arm, trips = work.route.model.name, work.route.arm, len(work.trips.ids)
        stale = Reason.FEATURES_STALE.value if work.looked_up is not None and work.looked_up.stale else ""
        by_model: _Source = ("model", stale or UNSET)
        by_heuristic: _Source = ("fallback", why.value)
        rows = zip(work.trips.ids, *answers.round(2).tolist(), strict=True)
        if failed is None:
            fallbacks, reason = 0, stale
            etas = [Eta(name, eta, low, high, model, arm, *by_model) for name, eta, low, high in rows]
        else:
            fallbacks, reason = int(np.count_nonzero(failed)), why.value
            sources = [by_heuristic if bad else by_model for bad in failed.tolist()]
            etas = [
                Eta(name, eta, low, high, model, arm, *source)
                for (name, eta, low, high), source in zip(rows, sources, strict=True)
            ]
            self._telemetry.estimated(model, arm, "fallback", why.value, fallbacks)
        if fallbacks < trips:
            self._telemetry.estimated(model, arm, "model", stale, trips - fallbacks)
        self._log(eta_record(work, answers, failed, reason, call))
        self._shadows.offer(work)
        return EtaResponse(work.request_id, etas)
