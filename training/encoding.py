"""What a net reads off the vector: standardised numbers, marks of what is absent, and positions to look up.

A tree takes any number as it stands. A net wants numbers of one size, counts on a log scale, no NaN, and zones and
hours as things rather than magnitudes. The same steps are done here in numpy and, by `training.net_graph`, in ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.schema import FeatureSchema, Floats, Matrix
from training.places import PlaceIndex, index_places

LIMIT: Final = 4.0
"""Standard deviations beyond which a number is cut off: what training hardly saw must not steer the answer."""

HOURS_OF_WEEK: Final = 168
_COUNTS_FROM: Final = 1e4  # an entry that may be so large is a count or a weight


@dataclass(frozen=True)
class Columns:
    """Positions in the vector by what they mean to a net; `places` are pairs (lat, lon) of zones' points."""

    counts: tuple[int, ...] = ()
    nullable: tuple[int, ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    clock: tuple[int, int] | None = None  # hour (0..24), weekday (0..6)
    offset: int | None = None

    @property
    def marked(self) -> tuple[int, int]:
        """The span of entries that have a mark of absence: picking columns apart costs more than it saves."""
        return (min(self.nullable), max(self.nullable) + 1) if self.nullable else (0, 0)


def columns_of(schema: FeatureSchema, *, offset: str) -> Columns:
    """Read the meaning of entries off their names and bounds."""
    at = {name: i for i, name in enumerate(schema.names)}
    return Columns(
        counts=tuple(i for i, feature in enumerate(schema.features) if feature.high >= _COUNTS_FROM),
        nullable=tuple(i for i, feature in enumerate(schema.features) if feature.nullable),
        places=tuple((at[f"{role}_lat"], at[f"{role}_lon"]) for role in ("pickup", "dropoff")),
        clock=(at["hour"], at["weekday"]),
        offset=at[offset],
    )


@dataclass(frozen=True)
class Encoded:
    """Rows as a net reads them: float32 [n, dense], positions of places [n, roles], hours of the week [n]."""

    dense: Matrix
    places: npt.NDArray[np.int64]
    hour_of_week: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.dense)


@dataclass(frozen=True)
class Encoding:
    """Fitted steps; `mean` and `scale` [entries, then logs of counts] are of the values that were present."""

    columns: Columns
    mean: Matrix
    scale: Matrix
    index: PlaceIndex | None

    @property
    def width(self) -> int:
        """Entries of the dense part."""
        first, after = self.columns.marked
        return len(self.mean) + after - first

    def encode(self, matrix: Matrix) -> Encoded:
        """Rows [n, F] as the graph reads them; no entry of the result is NaN."""
        standard = (_with_logs(matrix, self.columns) - self.mean) * self.scale
        absent = np.isnan(standard)
        dense = np.clip(np.where(absent, np.float32(0.0), standard), -LIMIT, LIMIT)
        marks = absent[:, slice(*self.columns.marked)].astype(np.float32)
        return Encoded(np.hstack([dense, marks]), self._places(matrix), self._hours(matrix))

    def _places(self, matrix: Matrix) -> npt.NDArray[np.int64]:
        if self.index is None:
            return np.empty((len(matrix), 0), dtype=np.int64)
        lat, lon = (matrix[:, [pair[side] for pair in self.columns.places]] for side in (0, 1))
        return self.index.positions(lat, lon)

    def _hours(self, matrix: Matrix) -> npt.NDArray[np.int64]:
        if self.columns.clock is None:
            return np.empty(0, dtype=np.int64)
        hour, weekday = (matrix[:, i] for i in self.columns.clock)
        with np.errstate(invalid="ignore"):  # an absent time becomes the first hour
            hours = (weekday * np.float32(24.0) + hour).astype(np.int64)
        return np.clip(hours, 0, HOURS_OF_WEEK - 1)


def fit_encoding(matrix: Matrix, columns: Columns, points: tuple[Floats, Floats] | None) -> Encoding:
    """Fit on the rows learned from; `points` are latitudes and longitudes of all places, where there are such."""
    values = _with_logs(matrix, columns).astype(np.float64)
    present = ~np.isnan(values)
    n = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, values, 0.0).sum(axis=0) / n
    variance = np.where(present, (values - mean) ** 2, 0.0).sum(axis=0) / n
    # A constant says nothing in training, and must not say much when it changes.
    spread = np.where(variance > 1e-10, np.sqrt(np.maximum(variance, 1e-10)), np.inf)  # noqa: PLR2004
    index = index_places(*points) if columns.places and points is not None else None
    return Encoding(columns, mean.astype(np.float32), (1.0 / spread).astype(np.float32), index)


def _with_logs(matrix: Matrix, columns: Columns) -> Matrix:
    """All entries as they stand, then the logs of counts."""
    logs = np.log(np.maximum(matrix[:, list(columns.counts)], np.float32(0.0)) + np.float32(1.0))
    return np.hstack([matrix, logs])
