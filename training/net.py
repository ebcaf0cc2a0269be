"""The small net: embeddings and numbers through two hidden layers to the logs of three quantiles of the duration.

Its absolute error is that of the log, as the trees' is; the ends of the range learn the pinball loss beside it. The
trainer is Adam in numpy: a net of this size spends less time in it than a framework takes to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from contracts.schema import Matrix
from training.encoding import HOURS_OF_WEEK, Encoded, Encoding
from training.settings import NetSettings
from training.trees import Examples, Tick, log_target

QUANTILES: Final = (0.5, 0.1, 0.9)  # in the order of the outputs
_RANGE_WEIGHT: Final = 0.5  # of an end of the range in the loss, against 1 of the estimate
_BETAS: Final = (0.9, 0.999)
_TINY: Final = 1e-8
_BLOCK: Final = 8192

Weights = dict[str, Matrix]


@dataclass(frozen=True)
class Net:
    """A fitted net; `weights` are float32 by name, tables of embeddings among them."""

    encoding: Encoding
    weights: Weights

    def raw(self, matrix: Matrix) -> Matrix:
        """Logs (estimate, low, high) [n, 3] relative to the offset's entry, in float32 as the graph computes them."""
        blocks = [self.encoding.encode(matrix[i : i + _BLOCK]) for i in range(0, len(matrix), _BLOCK)]
        with threadpool_limits(1, user_api="blas"):
            return np.concatenate(
                [forward(self.weights, block)[-1] for block in blocks] or [np.empty((0, 3), np.float32)]
            )

    @property
    def parameters(self) -> int:
        """Numbers learned."""
        return sum(weight.size for weight in self.weights.values())


def forward(weights: Weights, rows: Encoded) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Input, both hidden layers and the outputs [n, 3]."""
    parts = [rows.dense]
    if "places" in weights:
        parts.append(weights["places"][rows.places].reshape(len(rows), -1))
    if "hours" in weights:
        parts.append(weights["hours"][rows.hour_of_week])
    x = np.hstack(parts) if len(parts) > 1 else rows.dense
    first = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    second = np.maximum(first @ weights["w2"] + weights["b2"], 0)
    return x, first, second, second @ weights["w3"] + weights["b3"]


def fit_net(
    examples: Examples, encoding: Encoding, settings: NetSettings, *, seed: int, tick: Tick = lambda: None
) -> Net:
    """Fit on the examples; `tick` is called after each epoch. The same examples and seed give the same net."""
    with threadpool_limits(
        1, user_api="blas"
    ):  # sums over more threads round otherwise; layers this small gain nothing
        return _fit(examples, encoding, settings, seed, tick)


def _fit(examples: Examples, encoding: Encoding, settings: NetSettings, seed: int, tick: Tick) -> Net:
    rows = encoding.encode(examples.matrix)
    target = log_target(examples, encoding.columns.offset).astype(np.float32)
    rng = np.random.default_rng(seed)
    weights = _initial(encoding, settings, target, rng)
    steps = settings.epochs * max(len(rows) // settings.batch, 1)
    adam = _Adam(weights, settings.decay)
    step = 0
    for _ in range(settings.epochs):
        order = rng.permutation(len(rows))
        for picked in np.array_split(order, max(len(rows) // settings.batch, 1)):
            rate = settings.learning_rate * _schedule(step / steps)
            adam.step(_gradient(weights, _take(rows, picked), target[picked]), rate)
            step += 1
        tick()
    return Net(encoding, weights)


def _schedule(done: float) -> float:
    """Of the learning rate: up within a twentieth of the steps, then down along a cosine."""
    warm = 0.05
    return done / warm if done < warm else 0.5 * (1.0 + float(np.cos(np.pi * (done - warm) / (1.0 - warm))))


def _initial(encoding: Encoding, settings: NetSettings, target: Matrix, rng: np.random.Generator) -> Weights:
    """He's scale for the layers; the outputs begin at the target's quantiles, which saves them an epoch."""
    weights: Weights = {}
    width = encoding.width

    def normal(*shape: int, scale: float) -> Matrix:
        return (rng.normal(size=shape) * scale).astype(np.float32)

    if encoding.index is not None and settings.place_width:
        weights["places"] = normal(encoding.index.unknown + 1, settings.place_width, scale=0.1)
        weights["places"][encoding.index.unknown] = 0.0  # never seen, so never learned
        width += len(encoding.columns.places) * settings.place_width
    if encoding.columns.clock is not None and settings.hour_width:
        weights["hours"] = normal(HOURS_OF_WEEK, settings.hour_width, scale=0.1)
        width += settings.hour_width
    weights["w1"] = normal(width, settings.first, scale=np.sqrt(2.0 / width))
    weights["b1"] = np.zeros(settings.first, np.float32)
    weights["w2"] = normal(settings.first, settings.second, scale=np.sqrt(2.0 / settings.first))
    weights["b2"] = np.zeros(settings.second, np.float32)
    weights["w3"] = normal(settings.second, len(QUANTILES), scale=0.1 / np.sqrt(settings.second))
    weights["b3"] = np.quantile(target, QUANTILES).astype(np.float32)
    return weights


def _gradient(weights: Weights, rows: Encoded, target: Matrix) -> Weights:
    x, first, second, out = forward(weights, rows)
    above = out > target[:, None]
    slopes = np.where(above, 1.0 - np.array(QUANTILES), -np.array(QUANTILES)) * (2.0, _RANGE_WEIGHT, _RANGE_WEIGHT)
    d_out: Any = (slopes / len(target)).astype(np.float32)
    d_second = (d_out @ weights["w3"].T) * (second > 0)
    d_first = (d_second @ weights["w2"].T) * (first > 0)
    gradient = {
        "w3": second.T @ d_out,
        "b3": d_out.sum(axis=0),
        "w2": first.T @ d_second,
        "b2": d_second.sum(axis=0),
        "w1": x.T @ d_first,
        "b1": d_first.sum(axis=0),
    }
    start = rows.dense.shape[1]
    d_looked_up = d_first @ weights["w1"][start:].T
    at = 0
    for name, positions in (("places", rows.places), ("hours", rows.hour_of_week[:, None])):
        if name in weights:
            table = weights[name]
            columns = positions.shape[1] * table.shape[1]
            gradient[name] = _scatter(d_looked_up[:, at : at + columns], positions, table.shape)
            at += columns
    return gradient


def _scatter(gradient: Matrix, positions: npt.NDArray[np.int64], shape: tuple[int, ...]) -> Matrix:
    """Sum gradients [n, k * width] by the rows of a table that they came from."""
    cells = positions[:, :, None] * shape[1] + np.arange(shape[1])
    summed = np.bincount(cells.ravel(), weights=gradient.ravel(), minlength=shape[0] * shape[1])
    return np.asarray(summed, dtype=np.float32).reshape(shape)


def _take(rows: Encoded, picked: npt.NDArray[np.int64]) -> Encoded:
    hours = rows.hour_of_week[picked] if len(rows.hour_of_week) else rows.hour_of_week
    return Encoded(rows.dense[picked], rows.places[picked], hours)


class _Adam:
    """Adam with decay apart from the gradient; changes the weights in place."""

    def __init__(self, weights: Weights, decay: float) -> None:
        self._weights = weights
        self._decay = decay
        self._steps = 0
        self._mean: dict[str, Any] = {name: np.zeros_like(weight) for name, weight in weights.items()}
        self._square: dict[str, Any] = {name: np.zeros_like(weight) for name, weight in weights.items()}

    def step(self, gradient: Weights, rate: float) -> None:
        self._steps += 1
        first, second = _BETAS
        size = rate * np.sqrt(1.0 - second**self._steps) / (1.0 - first**self._steps)
        for name, slope in gradient.items():
            mean, square, weight = self._mean[name], self._square[name], self._weights[name]
            mean += (1.0 - first) * (slope - mean)
            square += (1.0 - second) * (slope * slope - square)
            weight -= np.float32(size) * mean / (np.sqrt(square) + np.float32(_TINY))
            if weight.ndim > 1:
                weight *= np.float32(1.0 - rate * self._decay)
