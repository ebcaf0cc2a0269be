"""What the model sees: views of the store, the columns read from them, and the ordered vector.

The schema hash stands in every manifest; a replica refuses a model whose hash is not its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.errors import SchemaMismatch

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ViewSpec:
    """A feature view: its columns are float64, keyed by one string entity.

    A value older than `ttl_s` seconds is absent (NaN), in training and in serving alike.
    """

    name: str
    entity: str
    features: tuple[str, ...]
    ttl_s: float


@dataclass(frozen=True)
class Lookup:
    """One row read for each trip: columns `role.feature` come from `view`, by the key that `role` names."""

    role: str
    view: str


AFTER: Final = "after_"
"""Begins the name of every feature that is known only after the trip began, and of no other.

The name itself says it, in every schema, manifest and file: no flag can be lost or set wrongly on the way.
"""


@dataclass(frozen=True)
class Feature:
    """One entry of the vector. A value outside low..high is clipped; NaN says absent where that is allowed."""

    name: str
    low: float
    high: float
    nullable: bool = False


def hindsight(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the features that nobody knows when a request comes in: a model that reads one can't be served."""
    return tuple(name for name in names if name.startswith(AFTER))


@dataclass(frozen=True)
class FeatureSchema:
    """The ordered vector of one model family."""

    name: str
    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the vector's order."""
        return tuple(f.name for f in self.features)

    def schema_hash(self) -> str:
        """SHA-256 over names, order, bounds and nullability, as hex."""
        rows: list[Any] = [[f.name, f.low, f.high, f.nullable] for f in self.features]
        return hashlib.sha256(json.dumps([self.name, "float32", rows]).encode()).hexdigest()

    def to_matrix(self, columns: Mapping[str, npt.ArrayLike], rows: int) -> Matrix:
        """Build the float32 matrix [rows, features] from columns by name; scalars are spread over the rows.

        Raises SchemaMismatch where a column is missing.
        """
        matrix = np.empty((len(self.features), rows), dtype=np.float32)
        for i, feature in enumerate(self.features):
            if feature.name not in columns:
                raise SchemaMismatch("feature columns", f"no {feature.name!r}", f"all of schema {self.name!r}")
            matrix[i] = columns[feature.name]
        return self.clipped(matrix)

    def clipped(self, rows: npt.NDArray[np.floating]) -> Matrix:
        """Build the float32 matrix [n, features] from all features' rows [features, n], in their order."""
        matrix = rows.astype(np.float32)
        np.maximum(matrix, self._low, out=matrix)  # NaN stays NaN in both
        np.minimum(matrix, self._high, out=matrix)
        return np.ascontiguousarray(matrix.T)

    @cached_property
    def _low(self) -> Matrix:
        return np.array([[f.low] for f in self.features], dtype=np.float32)

    @cached_property
    def _high(self) -> Matrix:
        return np.array([[f.high] for f in self.features], dtype=np.float32)
