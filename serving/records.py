"""What goes into the prediction log, from what answering had in hand."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from contracts.predictions import ETA, HASH_CHARACTERS, INFER, SHADOW, Kind, Prediction
from contracts.schema import Matrix
from serving.artifacts import LoadedModel
from serving.call import Call
from serving.work import Work

Answers = npt.NDArray[np.floating]  # [3, n]: eta, low, high


def eta_record(
    work: Work, answers: Answers, failed: npt.NDArray[np.bool_] | None, reason: str, call: Call
) -> Prediction:
    """An answered ETA request."""
    fallback = b"" if failed is None else failed.tobytes()
    server_ms = (time.perf_counter() - call.started) * 1e3
    return _of_trips(
        work,
        work.route.model,
        answers,
        kind=ETA,
        arm=work.route.arm,
        fallback=fallback,
        reason=reason,
        server_ms=server_ms,
        model_ms=call.model_s * 1e3,
    )


def shadow_record(
    work: Work,
    model: LoadedModel,
    answers: Answers,
    failed: npt.NDArray[np.bool_] | None,
    *,
    reason: str,
    model_s: float,
) -> Prediction:
    """What the shadow would have answered to the same vectors; where it `failed` the heuristic would have, and why."""
    return _of_trips(
        work,
        model,
        answers,
        kind=SHADOW,
        arm=SHADOW,
        fallback=b"" if failed is None else failed.tobytes(),
        reason=reason,
        server_ms=0.0,
        model_ms=model_s * 1e3,
    )


def infer_record(
    model: LoadedModel, matrix: Matrix, answers: Answers, call: Call, *, request_id: str, at: float, generation: int
) -> Prediction:
    """An answered Open Inference request: vectors without trips."""
    return Prediction(
        request_id=request_id,
        at=at,
        kind=INFER,
        unit="",
        generation=generation,
        version=model.manifest.version,
        arm=call.arm,
        schema_hash=model.manifest.schema_hash[:HASH_CHARACTERS],
        ids=[],
        pickup=[],
        dropoff=[],
        starts=b"",
        features=matrix.tobytes(),
        ages=b"",
        answers=_by_trip(answers),
        fallback=b"",
        reason="",
        server_ms=(time.perf_counter() - call.started) * 1e3,
        model_ms=call.model_s * 1e3,
    )


def _of_trips(
    work: Work,
    model: LoadedModel,
    answers: Answers,
    *,
    kind: Kind,
    arm: str,
    fallback: bytes,
    reason: str,
    server_ms: float,
    model_ms: float,
) -> Prediction:
    trips, looked_up = work.trips, work.looked_up
    return Prediction(
        work.request_id,
        work.now,
        kind,
        work.unit,
        work.route.generation,
        model.manifest.version,
        arm,
        model.manifest.schema_hash[:HASH_CHARACTERS],
        trips.ids,
        trips.origins,
        trips.destinations,
        trips.at.tobytes(),
        b"" if work.matrix is None else work.matrix.tobytes(),
        b"" if looked_up is None else looked_up.ages_s.T.astype(np.float32).tobytes(),
        _by_trip(answers),
        fallback,
        reason,
        server_ms,
        model_ms,
    )


def _by_trip(answers: Answers) -> bytes:
    return answers.astype("<f4", copy=False).tobytes("F")
