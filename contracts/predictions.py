"""One answered request in the prediction log, and the head that says what its matrices hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Literal, TypeAlias

import msgspec
import numpy as np

from contracts.schema import FeatureSchema, Floats, Lookup, Matrix

ETA: Final = "eta"
INFER: Final = "infer"
SHADOW: Final = "shadow"
Kind: TypeAlias = Literal["eta", "infer", "shadow"]
MODEL_ERROR: Final = "model_error"
MODEL_OUTPUT: Final = "model_output_invalid"
KILL_SWITCH: Final = "kill_switch"
OWN_FAILURES: Final = frozenset({MODEL_ERROR, MODEL_OUTPUT})
"""Reasons that are the version's own; any other is of what it was, or was not, asked with."""
ANSWER_BYTES: Final = 12  # three float32
HASH_CHARACTERS: Final = 12
"""How much of a schema's hash a record carries."""


class SegmentHead(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first record of every segment: names for the columns of `Prediction.features` and `Prediction.ages`."""

    source: str  # of CloudEvents: who answered
    schema_name: str
    schema_hash: str
    features: tuple[str, ...]
    ages: tuple[str, ...]

    @classmethod
    def of(cls, schema: FeatureSchema, lookups: Sequence[Lookup], source: str) -> SegmentHead:
        """Name the columns by a schema and what is looked up for it."""
        ages = tuple(f"{lookup.role}.{lookup.view}" for lookup in lookups)
        return cls(source, schema.name, schema.schema_hash(), schema.names, ages)


class Prediction(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """What a request of n trips was answered, and from what; the tag is the version of this layout.

    Matrices are little-endian bytes in C order, so that encoding copies them and no more. Ages are those of the rows
    looked up, in seconds, NaN where a row was absent; none at all where nothing was looked up. Of tensors without trips
    there are no ids, zones and starts. Who chose the arm by hand is no unit: a record without one counts for no arm.
    """

    schema_version: ClassVar[int] = 1

    request_id: str
    at: float  # epoch seconds
    kind: Kind
    unit: str  # of the experiment; may be empty
    generation: int  # of the route table
    version: int  # of the model
    arm: str
    schema_hash: str  # its first HASH_CHARACTERS
    ids: list[str]
    pickup: list[str]
    dropoff: list[str]
    starts: bytes  # float64 [n], epoch seconds
    features: bytes  # float32 [n, features]; none where the model was not asked
    ages: bytes  # float32 [n, lookups]
    answers: bytes  # float32 [n, 3]: eta, low, high
    fallback: bytes  # a byte a trip, 1 where the heuristic answered (would have, of a shadow); none where for no trip
    reason: str  # why it did
    server_ms: float
    model_ms: float

    @property
    def rows(self) -> int:
        """How many trips there are."""
        return len(self.answers) // ANSWER_BYTES

    def start_times(self) -> Floats:
        """Start times [n]."""
        return np.frombuffer(self.starts, dtype="<f8")

    def matrix(self, raw: bytes) -> Matrix:
        """One of this record's matrices as [n, columns], with no column where there is none."""
        flat: Matrix = np.frombuffer(raw, dtype="<f4")
        return flat.reshape(self.rows, -1) if flat.size else np.empty((self.rows, 0), dtype=np.float32)

    def names(self) -> list[str]:
        """The trips' ids; a trip without one is named by its position."""
        return self.ids or [str(row) for row in range(self.rows)]

    def fallbacks(self) -> list[bool]:
        """Whether the heuristic answered, by trip."""
        return [flag != 0 for flag in self.fallback] or [False] * self.rows
