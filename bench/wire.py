"""How trips become a request body and an answer becomes seconds, for each form that the tools speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec


class Wire(Protocol):
    """One tool's request and answer. Items are feature vectors (lists of floats) or, in table B, trips."""

    @property
    def path(self) -> str:
        """Where the request is posted."""

    def body(self, items: Sequence[Any]) -> bytes:
        """Return the request for these items."""

    def etas(self, body: bytes) -> list[float]:
        """Return the answer's estimates in seconds, in the order of the items."""


@dataclass(frozen=True)
class OpenInference:
    """Open Inference Protocol V2, REST, tensors as flat JSON lists."""

    path: str = "/v2/models/eta/infer"

    def body(self, items: Sequence[Any]) -> bytes:
        """One FP32 tensor ``features`` [n, width]."""
        flat = [value for vector in items for value in vector]
        tensor = {"name": "features", "shape": [len(items), len(items[0])], "datatype": "FP32", "data": flat}
        return msgspec.json.encode({"inputs": [tensor]})

    def etas(self, body: bytes) -> list[float]:
        """Read the tensor ``eta_s``."""
        (tensor,) = [tensor for tensor in msgspec.json.decode(body)["outputs"] if tensor["name"] == "eta_s"]
        return [float(value) for value in tensor["data"]]


@dataclass(frozen=True)
class NamedRows:
    """A JSON object with the vectors under one name: the form that most tools' quick starts use."""

    path: str = "/"
    name: str = "features"
    answer: tuple[str, ...] = ("eta_s",)

    def body(self, items: Sequence[Any]) -> bytes:
        """Vectors as a list of lists."""
        return msgspec.json.encode({self.name: list(items)})

    def etas(self, body: bytes) -> list[float]:
        """Follow `answer` into the document; [n] and [n, 1] both serve."""
        document = msgspec.json.decode(body)
        for key in self.answer:
            document = document[key]
        return [float(value[0] if isinstance(value, list) else value) for value in document]


@dataclass(frozen=True)
class EtaTrips:
    """Tandem's own `POST /v1/eta`, used by every row of table B."""

    path: str = "/v1/eta"

    def body(self, items: Sequence[Any]) -> bytes:
        """Trips as in the contract."""
        return msgspec.json.encode({"trips": list(items)})

    def etas(self, body: bytes) -> list[float]:
        """Read the estimates; one that the model did not make is an error here."""
        etas = msgspec.json.decode(body)["etas"]
        fallbacks = [eta.get("reason", "") for eta in etas if eta.get("source", "model") != "model"]
        if fallbacks:
            raise ValueError(f"{len(fallbacks)} of {len(etas)} etas are fallbacks, the first for {fallbacks[0]!r}")
        return [float(eta["eta_s"]) for eta in etas]
