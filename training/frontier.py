"""What each candidate costs and how good it is, and the rule that picks one for each use.

The rule: of the candidates within one per cent of the best error on the rows held out, those within three times the
fastest at the batch in question, or within 100 µs of it, are equals: less may be another machine's doing, and a request
takes ten times that. Of the equals

* a single trip takes an exact export where there is one (a rounded one may answer otherwise on another processor),
  and of these the one that errs least;
* hundreds at once take the fewest kilobytes, and of these the first, candidates being in the order of their bits.

Only a latency that is not near another's decides, so that the same rows, code and seed choose the same model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.onnx_session import OnnxModel
from contracts.schema import Matrix
from training.students import Candidate

BATCHES: Final = (1, 64, 512)
WORSE_BY: Final = 0.01
NEAR: Final = 3.0
SLACK_US: Final = 100.0
_KB: Final = 1024
_ROUNDS: Final = 60


@dataclass(frozen=True)
class Figures:
    """A candidate in numbers; `p50_us` is the median time of a call by batch size, measured beside the others."""

    name: str
    exact: bool
    size: int  # bytes
    mae_s: float  # on the rows held out
    p50_us: Mapping[int, float]


def time_models(
    models: Mapping[str, OnnxModel],
    matrix: Matrix,
    *,
    rounds: int = _ROUNDS,
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[int, float]]:
    """Median µs a call by model and batch; the models take turns, so that a busy moment meets them all."""
    batches = {rows: np.resize(matrix[:rows], (rows, matrix.shape[1])) for rows in BATCHES}
    taken: dict[str, dict[int, list[float]]] = {name: {rows: [] for rows in BATCHES} for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            for rows, batch in batches.items():
                start = timer()
                model.run(batch)
                if turn:  # the first call allocates
                    taken[name][rows].append((timer() - start) * 1e6)
    return {
        name: {rows: float(np.median(times)) for rows, times in by_batch.items()} for name, by_batch in taken.items()
    }


def measure(candidates: Sequence[Candidate], matrix: Matrix) -> list[Figures]:
    """The figures of candidates, timed in turns on rows of `matrix` [n, F]."""
    p50_us = time_models({one.name: one.served for one in candidates}, matrix)
    return [Figures(one.name, one.exact, len(one.graph), one.holdout_mae_s, p50_us[one.name]) for one in candidates]


def table(figures: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Figures by candidate, as they are logged and drawn."""
    return {
        one.name: {
            "holdout_mae_s": one.mae_s,
            "bytes": float(one.size),
            **{f"p50_us_{rows}": p50 for rows, p50 in one.p50_us.items()},
        }
        for one in figures
    }


def choose_for_one(figures: Sequence[Figures]) -> str:
    """The name of the candidate for ``eta.onnx``, which answers one trip at a time."""
    equals = _equals(figures, BATCHES[0])
    return min([one for one in equals if one.exact] or equals, key=lambda one: one.mae_s).name


def choose_for_many(figures: Sequence[Figures]) -> str:
    """The name of the candidate for ``matrix.onnx``, which answers hundreds of trips at a time."""
    equals = _equals(figures, BATCHES[-1])
    return min(equals, key=lambda one: math.ceil(one.size / _KB)).name


def _equals(figures: Sequence[Figures], batch: int) -> list[Figures]:
    best = min(one.mae_s for one in figures)
    accurate = [one for one in figures if one.mae_s <= best * (1.0 + WORSE_BY)]
    fastest = min(one.p50_us[batch] for one in accurate)
    return [one for one in accurate if one.p50_us[batch] <= max(fastest * NEAR, fastest + SLACK_US)]
