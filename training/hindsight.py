"""The teacher's vector: a trip's own, as serving would build it, then what other trips did around it."""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.features import ETA_SCHEMA, OFFSET
from contracts.hindsight import AFTERWARDS, TEACHER_SCHEMA
from contracts.schema import Floats, Matrix

OFFSET_AT: Final = ETA_SCHEMA.names.index(OFFSET)
_OF_PAIR: Final = np.array([i for i, one in enumerate(AFTERWARDS) if one.name.startswith("after_pair_log_excess")])
_COUNTS: Final = np.array([i for i, one in enumerate(AFTERWARDS) if not one.nullable])


def with_hindsight(matrix: Matrix, around: Floats, typical_log_s: Floats) -> Matrix:
    """Vectors float32 [n, F + A] of `TEACHER_SCHEMA` from vectors [n, F] and rows around [A, n].

    A pair's trips are told relative to the offset, as what is learned is: a tree that has to subtract two entries
    spends its splits on it.
    """
    rows = around.copy()
    rows[_OF_PAIR] += typical_log_s - matrix[:, OFFSET_AT].astype(np.float64)
    bounds = np.array([[one.low, one.high] for one in AFTERWARDS])
    rows = np.clip(rows, bounds[:, :1], bounds[:, 1:])
    return np.hstack([matrix, rows.T.astype(np.float32)])


def mask_hindsight(matrix: Matrix, *, seed: int, share: float) -> Matrix:
    """A copy in which a seeded share of the rows knows nothing of other trips, as where there are none."""
    masked = matrix.copy()
    gone = np.random.default_rng(seed).random(len(matrix)) < share
    first = len(TEACHER_SCHEMA.features) - len(AFTERWARDS)
    masked[gone, first:] = np.nan
    masked[np.ix_(gone, first + _COUNTS)] = 0.0
    return masked
