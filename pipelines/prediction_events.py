"""Records of the prediction log as events, one a trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from contracts.prediction_events import EVENT_TYPE, PredictionData, PredictionEvent, prediction_id
from contracts.predictions import Prediction, SegmentHead
from contracts.schema import Matrix

_NOBODY: Final = SegmentHead("", "", "", (), ())


def events_of(record: Prediction, head: SegmentHead | None) -> list[PredictionEvent]:
    """An event for each trip; without a head nobody knows what the columns are called, and they are left out."""
    head = head or _NOBODY
    features, ages = record.matrix(record.features), record.matrix(record.ages)
    starts, answers = record.start_times().tolist(), record.matrix(record.answers).tolist()
    rows = zip(record.names(), record.fallbacks(), answers, strict=True)
    events = []
    for i, (trip, fell_back, (eta_s, low_s, high_s)) in enumerate(rows):
        data = PredictionData(
            request_id=record.request_id,
            id=trip,
            kind=record.kind,
            unit=record.unit,
            arm=record.arm,
            generation=record.generation,
            version=record.version,
            schema_hash=head.schema_hash or record.schema_hash,
            pickup_zone=record.pickup[i] if record.pickup else None,
            dropoff_zone=record.dropoff[i] if record.dropoff else None,
            start_at=_moment(starts[i]) if starts else None,
            source="fallback" if fell_back else "model",
            reason=record.reason if fell_back else None,
            eta_s=eta_s,
            low_s=low_s,
            high_s=high_s,
            server_ms=record.server_ms,
            model_ms=record.model_ms,
            features=_named(head.features, features, i),
            ages_s=_named(head.ages, ages, i),
        )
        events.append(
            PredictionEvent(
                id=prediction_id(record.request_id, trip, record.kind, record.version),
                source=head.source,
                type=EVENT_TYPE + record.kind,
                subject=record.request_id,
                time=_moment(record.at),
                data=data,
            )
        )
    return events


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _named(names: Sequence[str], matrix: Matrix, row: int) -> dict[str, float | None] | None:
    """Values by name, NaN as None; None where there are none, or not as many as names."""
    if not names or matrix.shape[1] != len(names):
        return None
    values = matrix[row].tolist()
    return {name: value if value == value else None for name, value in zip(names, values, strict=True)}  # noqa: PLR0124
