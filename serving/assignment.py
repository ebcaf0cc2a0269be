"""The assignment problem: which of the offered pairs to make, at the lowest total cost, exactly.

Leaving a rider unmatched has a price too, so the cheapest answer may leave somebody waiting for a nearer driver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from contracts.schema import Floats
from contracts.zones import Positions

# Where the dense solver's cells outweigh the sparse one's overhead, as bench/dispatch.py measures it.
DENSE_CELLS: Final = 40_000


Solver = Callable[[Positions, Positions, Floats, tuple[int, int]], Positions]
"""Which of the pairs [n] to make at the least total, by their rows, columns and what they save (below zero); a row may
stay alone."""


@dataclass(frozen=True)
class Pairs:
    """Candidate pairs [n] of row numbers, no pair twice, ordered by rider and driver."""

    rider: Positions
    driver: Positions

    def __len__(self) -> int:
        return len(self.rider)


def sparse(row: Positions, column: Positions, saving: Floats, shape: tuple[int, int]) -> Positions:
    """A `Solver` for many. Each row gets a column of its own to be unmatched in, so a full matching of rows exists."""
    rows, columns = shape
    alone = np.arange(rows)
    # The solver takes no zero for an edge; a constant on every edge changes no decision, since each row has just one.
    weight = np.concatenate([saving, np.zeros(rows)]) - saving.min() + 1.0
    graph = csr_array(
        (weight, (np.concatenate([row, alone]), np.concatenate([column, columns + alone]))),
        shape=(rows, columns + rows),
    )
    _, partner = min_weight_full_bipartite_matching(graph)
    made: Positions = np.flatnonzero(partner[row] == column)
    return made


def cheapest(pairs: Pairs, cost: Floats, unmatched: float, *, solver: Solver = sparse) -> Positions:
    """Rows of the pairs to make, ascending: minimises their costs plus `unmatched` for each rider in no pair.

    Costs [n] may be negative; a pair that costs `unmatched` or more is never made. `solver` is for many.
    """
    worth = np.flatnonzero(cost < unmatched)
    if not len(worth):
        return worth
    rows, row = np.unique(pairs.rider[worth], return_inverse=True)
    columns, column = np.unique(pairs.driver[worth], return_inverse=True)
    if len(rows) > len(columns):  # both solvers go through the rows one by one: fewer are sooner done
        (rows, row), (columns, column) = (columns, column), (rows, row)
    solve = _dense if len(rows) * len(columns) <= DENSE_CELLS else solver
    # What a pair saves against leaving its rider unmatched: a cell that is no pair then costs nothing.
    made = solve(row, column, cost[worth] - unmatched, (len(rows), len(columns)))
    return np.sort(worth[made])


def _dense(row: Positions, column: Positions, saving: Floats, shape: tuple[int, int]) -> Positions:
    cells = np.zeros(shape)
    cells[row, column] = saving
    pair_of = np.full(shape, -1)
    pair_of[row, column] = np.arange(len(saving))
    chosen = pair_of[linear_sum_assignment(cells)]
    made: Positions = chosen[chosen >= 0]
    return made
