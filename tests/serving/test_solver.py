"""The solver's process: the same answer as in place, within its time, and back again after its death."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from contracts.errors import Unavailable
from contracts.schema import Floats
from contracts.zones import Positions
from serving.assignment import sparse
from serving.solver import INLINE_ROWS, SolverProcess

Problem = tuple[Positions, Positions, Floats, tuple[int, int]]


def problem(rows: int, columns: int, seed: int = 0) -> Problem:
    """Every row with ten columns."""
    rng = np.random.default_rng(seed)
    column = np.concatenate([rng.choice(columns, 10, replace=False) for _ in range(rows)])
    return np.repeat(np.arange(rows), 10), column, -rng.random(10 * rows), (rows, columns)


@pytest.fixture
def solver() -> Iterator[SolverProcess]:
    """One that is stopped after the test."""
    made = SolverProcess()
    yield made
    made.close()


def test_the_process_answers_as_in_place(solver: SolverProcess) -> None:
    """Several problems by one process; a message larger than a pipe's buffer passes."""
    first = None
    for seed in range(3):
        many = problem(INLINE_ROWS + 700, 1500, seed)
        assert np.array_equal(solver.until(math.inf)(*many), sparse(*many))
        first = first or solver._process
        assert solver._process is first


def test_few_are_solved_in_place(solver: SolverProcess) -> None:
    """No process starts for them."""
    few = problem(INLINE_ROWS, 400)
    assert np.array_equal(solver.until(0.0)(*few), sparse(*few))
    assert solver._process is None


def test_a_killed_process_is_replaced(solver: SolverProcess) -> None:
    """Between two requests it may die; the next one does not notice."""
    many = problem(INLINE_ROWS + 1, 400)
    solver.until(math.inf)(*many)
    assert solver._process is not None
    solver._process.kill()
    solver._process.wait()
    assert np.array_equal(solver.until(math.inf)(*many), sparse(*many))


def test_no_time_and_too_much_of_it(solver: SolverProcess) -> None:
    """Past the deadline nothing begins; a process that does not answer in time is stopped."""
    many = problem(INLINE_ROWS + 1, 400)
    with pytest.raises(Unavailable, match="deadline"):
        solver.until(time.perf_counter() - 1.0)(*many)
    solver.until(math.inf)(*many)
    assert solver._process is not None
    os.kill(solver._process.pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="deadline"):
        solver.until(time.perf_counter() + 0.05)(*many)
    assert solver.stopped == 1
    assert solver._process is None
