"""Table A's items: at least 10,000 distinct vectors of the range that the model knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from adapters.artifact_store import GOLDEN_FILE
from adapters.tables import read_golden
from contracts.features import ETA_SCHEMA
from contracts.schema import Matrix

POOL = 12_000


def pool(artifact: Path, n: int = POOL) -> Matrix:
    """Distinct finite vectors float32 [n, width], each entry drawn from those of the artifact's golden rows.

    JSON has no NaN, so an absent entry takes another row's value. Raises ValueError where too few are distinct.
    """
    rng = np.random.default_rng(11)
    golden = read_golden(artifact / GOLDEN_FILE, ETA_SCHEMA.names).matrix.astype(np.float64)
    known = [column[np.isfinite(column)] for column in golden.T]
    drawn = np.column_stack([rng.choice(column, n) if len(column) else np.zeros(n) for column in known])
    # Six digits: as long as numbers on the wire are in earnest.
    vectors = np.array([[float(f"{value:.6g}") for value in row] for row in drawn], dtype=np.float32)
    distinct = len(np.unique(vectors, axis=0))
    if distinct < n:
        raise ValueError(f"{n} vectors wanted, {distinct} are distinct")
    return vectors


def items(vectors: Matrix) -> list[list[float]]:
    """Vectors as JSON numbers: the shortest decimals that are the same float32."""
    return [[float(str(value)) for value in row] for row in vectors]
