"""Logged predictions as rows of Parquet, one a trip.

Features and ages are columns of their own, ``feature.<name>`` and ``age.<role>.<view>``, whose names the segment's head
gives; the attributes of CloudEvents 1.0 are ``ce_…``, since `id` is the trip's.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.predictions import ANSWER_BYTES, Prediction, SegmentHead

EVENT_TYPE: Final = "tandem.prediction."
ANSWERS: Final = ("eta_s", "low_s", "high_s")
FEATURE: Final = "feature."
AGE: Final = "age."
HEAD: Final = b"tandem.head"
TIME: Final = pa.timestamp("us", tz="UTC")
MICRO: Final = 1e6
_MAX_TIME: Final = 4e9  # epoch seconds: what is beyond was no clock
TYPES: Final = {
    "request_id": pa.string(),
    "id": pa.string(),
    "kind": pa.string(),
    "at": TIME,
    "unit": pa.string(),
    "arm": pa.string(),
    "generation": pa.int64(),
    "version": pa.int64(),
    "schema_hash": pa.string(),
    "pickup_zone": pa.string(),
    "dropoff_zone": pa.string(),
    "start_at": TIME,
    "source": pa.string(),
    "reason": pa.string(),
    "server_ms": pa.float32(),
    "model_ms": pa.float32(),
    "ce_id": pa.string(),
    "ce_source": pa.string(),
    "ce_type": pa.string(),
    "ce_time": TIME,
    "ce_specversion": pa.string(),
}


@dataclass(frozen=True)
class Columns:
    """What a file's columns depend on: heads that differ in nothing but the source share one."""

    schema_name: str
    schema_hash: str
    features: tuple[str, ...]
    ages: tuple[str, ...]

    @classmethod
    def of(cls, head: SegmentHead | None) -> Columns:
        """The columns of a segment; without a head nobody knows what its matrices hold."""
        return cls(head.schema_name, head.schema_hash, head.features, head.ages) if head else cls("", "", (), ())

    def digest(self) -> str:
        """A short name for this set of columns."""
        return blake2b(repr(self).encode(), digest_size=4).hexdigest()

    def schema(self) -> Any:
        """Arrow's schema; the head lies in its metadata."""
        head = SegmentHead("", self.schema_name, self.schema_hash, self.features, self.ages)
        numbers = (*ANSWERS, *(FEATURE + name for name in self.features), *(AGE + name for name in self.ages))
        fields = [*TYPES.items(), *((name, pa.float32()) for name in numbers)]
        return pa.schema(fields, metadata={HEAD: msgspec.json.encode(head)})


def fits(record: Prediction) -> bool:
    """Whether every part of a record is there for all of its n trips or for none, and its times are times."""
    n = record.rows
    counts = {len(record.ids), len(record.pickup), len(record.dropoff), len(record.fallback)}
    whole = n > 0 and len(record.answers) == n * ANSWER_BYTES and counts <= {0, n} and len(record.starts) in {0, 8 * n}
    whole = whole and max(record.generation, record.version) < 1 << 63
    return whole and all(0 <= time < _MAX_TIME for time in (record.at, *record.start_times().tolist()))


class Rows:
    """Gathers records that fit and have the same columns."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._schema = columns.schema()
        self._words: dict[str, list[Any]] = {}
        self._clear()

    def __len__(self) -> int:
        """Trips gathered."""
        return len(self._words["id"])

    def add(self, record: Prediction, source: str) -> bool:
        """Add a record's trips; False where it has features whose number is not the columns', which are left out."""
        n = record.rows
        none, fallbacks = [None] * n, record.fallbacks()
        of_request = {
            "request_id": record.request_id,
            "kind": record.kind,
            "at": round(record.at * MICRO),
            "unit": record.unit,
            "arm": record.arm,
            "generation": record.generation,
            "version": record.version,
            "schema_hash": self._columns.schema_hash or record.schema_hash,
            "server_ms": record.server_ms,
            "model_ms": record.model_ms,
            "ce_source": source,
            "ce_type": EVENT_TYPE + record.kind,
            "ce_time": round(record.at * MICRO),
            "ce_specversion": "1.0",
        }
        of_trip = {
            "id": record.names(),
            "pickup_zone": record.pickup or none,
            "dropoff_zone": record.dropoff or none,
            "start_at": [round(start * MICRO) for start in record.start_times().tolist()] or none,
            "source": ["fallback" if fell_back else "model" for fell_back in fallbacks],
            "reason": [record.reason if fell_back else None for fell_back in fallbacks],
            "ce_id": [f"{record.request_id}/{trip}/{record.kind}/{record.version}" for trip in record.names()],
        }
        for name, value in of_request.items():
            self._words[name] += [value] * n
        for name, values in of_trip.items():
            self._words[name] += values
        self._answers.append(record.answers)
        return self._features.add(record.features, n) & self._ages.add(record.ages, n)

    def take(self) -> Any:
        """Everything gathered, as an Arrow table; afterwards there is nothing."""
        words = [pa.array(self._words[name], type=kind) for name, kind in TYPES.items()]
        answers = np.frombuffer(b"".join(self._answers), dtype="<f4").reshape(-1, len(ANSWERS))
        numbers = [pa.array(column) for column in np.ascontiguousarray(answers.T)]
        arrays = [*words, *numbers, *self._features.arrays(), *self._ages.arrays()]
        self._clear()
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _clear(self) -> None:
        self._words = {name: [] for name in TYPES}
        self._answers: list[bytes] = []
        self._features = _Matrices(len(self._columns.features))
        self._ages = _Matrices(len(self._columns.ages))


class _Matrices:
    """Matrices below one another; null where a request had none, while NaN stays NaN."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._parts: list[bytes] = []
        self._absent: list[bool] = []

    def add(self, raw: bytes, rows: int) -> bool:
        size = 4 * rows * self._width
        right = len(raw) == size
        self._parts.append(raw if right else bytes(size))
        self._absent += [not right] * rows
        return right or not raw

    def arrays(self) -> list[Any]:
        matrix = np.frombuffer(b"".join(self._parts), dtype="<f4").reshape(len(self._absent), self._width)
        absent: npt.NDArray[np.bool_] = np.array(self._absent, dtype=bool)
        mask = absent if absent.any() else None
        return [pa.array(column, mask=mask, from_pandas=False) for column in np.ascontiguousarray(matrix.T)]
