"""One logged request as those read it who judge arms: who answered, how fast, and what; nothing of the features."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

import msgspec

from contracts.predictions import OWN_FAILURES, Kind, Prediction

_MICRO: Final = 1e6
_FLOAT: Final = struct.Struct("<f")


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The same numbers whether they come from a segment or from Parquet: times in whole microseconds, float32."""

    request_id: str
    kind: Kind
    at: float  # epoch seconds
    unit: str
    generation: int
    version: int
    arm: str
    zone: str  # where the first trip begins; may be empty
    ids: list[str]
    eta_s: list[float]
    fallback: list[bool]  # by trip
    reason: str  # of the fallbacks
    server_ms: float
    model_ms: float  # 0 where the model was not asked, or did not come to an end

    @classmethod
    def of(cls, record: Prediction) -> Answered:
        """The part of a record; raises ValueError for one whose parts are not of equal length."""
        if not record.answers:
            raise ValueError("no answers")
        etas, names, fallbacks = record.matrix(record.answers)[:, 0].tolist(), record.names(), record.fallbacks()
        if not len(etas) == len(names) == len(fallbacks):
            raise ValueError(f"{len(names)} ids, {len(etas)} answers, {len(fallbacks)} marks")
        return cls(
            record.request_id,
            record.kind,
            round(record.at * _MICRO) / _MICRO,
            record.unit,
            record.generation,
            record.version,
            record.arm,
            record.pickup[0] if record.pickup else "",
            names,
            etas,
            fallbacks,
            record.reason if any(fallbacks) else "",
            *_FLOAT.unpack(_FLOAT.pack(record.server_ms)),
            *_FLOAT.unpack(_FLOAT.pack(record.model_ms)),
        )

    @property
    def fell_back(self) -> bool:
        """Whether the caller got the heuristic's answer to any trip."""
        return any(self.fallback)

    @property
    def failed(self) -> bool:
        """Whether the version itself failed on any trip, which a fallback hid."""
        return self.reason in OWN_FAILURES and any(self.fallback)

    @property
    def key(self) -> int:
        """Tells records apart: 64 bits, the same in every process."""
        return digest(f"{self.kind} {self.request_id}")

    @property
    def unit_key(self) -> int | None:
        """The experiment unit in 64 bits; None where the request was its own."""
        return None if self.unit == self.request_id else digest(self.unit)


def digest(text: str) -> int:
    """64 bits of a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
