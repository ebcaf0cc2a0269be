"""Logged predictions for tests: every number can be told from the record's and the trip's."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from adapters.prediction_segments import SegmentReader
from contracts.predictions import HASH_CHARACTERS, Prediction, SegmentHead
from tests.fakes import LOOKUPS, NOW, SCHEMA

HEAD = SegmentHead.of(SCHEMA, LOOKUPS, "/tandem/test")


def prediction(number: int, trips: int = 2, **changes: object) -> Prediction:
    """The record of a request of some trips; `number` is in its id, its time and its features."""
    features = [[float(number), math.nan, float(trip)] for trip in range(trips)]
    ages = [[0.5, 1.5, math.nan, 3.5, 4.5] for _ in range(trips)]
    answers = [[600.0 + trip, 480.0, 720.0] for trip in range(trips)]
    fields = {
        "request_id": f"request-{number}",
        "at": NOW + number,
        "kind": "eta",
        "unit": f"rider-{number}",
        "generation": 3,
        "version": 1,
        "arm": "champion",
        "schema_hash": HEAD.schema_hash[:HASH_CHARACTERS],
        "ids": [f"trip-{trip}" for trip in range(trips)],
        "pickup": ["1"] * trips,
        "dropoff": ["2"] * trips,
        "starts": struct.pack(f"<{trips}d", *([NOW + number] * trips)),
        "features": _floats(features),
        "ages": _floats(ages),
        "answers": _floats(answers),
        "fallback": b"",
        "reason": "",
        "server_ms": 0.25,
        "model_ms": 0.125,
    }
    return Prediction(**{**fields, **changes})  # type: ignore[arg-type]


def read(path: Path) -> list[Prediction]:
    """The good records of a segment."""
    with path.open("rb") as file:
        return list(SegmentReader(file))


def _floats(rows: list[list[float]]) -> bytes:
    flat = [number for row in rows for number in row]
    return struct.pack(f"<{len(flat)}f", *flat)
