"""`predictions`: what a trip was answered and from what, as a CloudEvent (1.0, structured mode, JSON)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

PREDICTIONS: Final = "predictions"
EVENT_TYPE: Final = "tandem.prediction."
SPEC_VERSION: Final = "1.0"


class PredictionData(msgspec.Struct, frozen=True, kw_only=True):
    """One trip; a label joins it on `request_id` and `id`.

    A value that was absent is null; so are all features and ages where the model was not asked.
    """

    schema_version: Literal[1] = 1
    request_id: str
    id: str
    kind: str
    unit: str
    arm: str
    generation: int
    version: int
    schema_hash: str
    pickup_zone: str | None
    dropoff_zone: str | None
    start_at: str | None  # RFC 3339, as all times here
    source: str
    reason: str | None
    eta_s: float
    low_s: float
    high_s: float
    server_ms: float
    model_ms: float
    features: dict[str, float | None] | None
    ages_s: dict[str, float | None] | None


class PredictionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of CloudEvents; the same `id` of the same `source` again is the same event."""

    specversion: str = SPEC_VERSION
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    data: PredictionData


def prediction_id(request_id: str, trip: str, kind: str, version: int) -> str:
    """What tells an answer from all others of its source."""
    return f"{request_id}/{trip}/{kind}/{version}"
