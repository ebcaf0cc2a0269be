"""The statistics of experiments: fixed-horizon, sequential, variance-reduced and clustered. Arrays are float64 [n].

Signatures and values follow public implementations, so that a figure here can be checked against a figure there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Two ends of a range, in the unit of what was estimated."""

    low: float
    high: float


class Difference(NamedTuple):
    """B minus A with its two-sided interval and p-value."""

    diff: float
    low: float
    high: float
    p: float


class Estimate(NamedTuple):
    """A figure and its standard error, in the same unit."""

    value: float
    se: float


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    return float(special.ndtri(probability))


def welch(  # noqa: PLR0917 - the public signature
    sum_a: float, sumsq_a: float, n_a: int, sum_b: float, sumsq_b: float, n_b: int, alpha: float = 0.05
) -> Difference:
    """Compare the means of two samples of unequal variance, from their sums; raises ValueError below two each."""
    if min(n_a, n_b) < 2:  # noqa: PLR2004 - a variance needs two
        raise ValueError(f"samples of {n_a} and {n_b}, need at least 2 each")
    mean_a, mean_b = sum_a / n_a, sum_b / n_b
    a = max(sumsq_a - n_a * mean_a**2, 0.0) / (n_a - 1) / n_a
    b = max(sumsq_b - n_b * mean_b**2, 0.0) / (n_b - 1) / n_b
    diff = mean_b - mean_a
    if a + b == 0.0:
        return Difference(diff, diff, diff, 1.0 if diff == 0.0 else 0.0)
    se = math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (n_a - 1) + b**2 / (n_b - 1))
    half = float(special.stdtrit(freedom, 1 - alpha / 2)) * se
    p = 2.0 * float(special.stdtr(freedom, -abs(diff) / se))
    return Difference(diff, diff - half, diff + half, p)


def srm_p_value(counts: Sequence[int], ratios: Sequence[float]) -> float:
    """Chi-squared test that units fell into the arms in these ratios; valid for one look."""
    total = sum(counts)
    expected = [total * ratio / sum(ratios) for ratio in ratios]
    statistic = sum((count - want) ** 2 / want for count, want in zip(counts, expected, strict=True))
    return float(special.chdtrc(len(counts) - 1, statistic))


def sequential_srm_p_value(counts: Sequence[int], ratios: Sequence[float], concentration: float = 1500.0) -> float:
    """Sample-ratio test that may be looked at after every unit: P(ever <= p) <= p where the ratios hold.

    A Dirichlet mixture centred on the ratios against the ratios themselves (Lindon and Malek, 2022); `concentration`
    is the prior's weight in units, by default best against a shift of two points in some 20,000 units.
    """
    counted = np.asarray(counts, dtype=np.float64)
    share = np.asarray(ratios, dtype=np.float64) / sum(ratios)
    prior = concentration * share
    log_evidence = (
        special.gammaln(concentration)
        - special.gammaln(concentration + counted.sum())
        + float(np.sum(special.gammaln(prior + counted) - special.gammaln(prior)))
        - float(np.sum(special.xlogy(counted, share)))
    )
    return math.exp(-max(float(log_evidence), 0.0))


def cuped_theta(pre: npt.ArrayLike, post: npt.ArrayLike) -> float:
    """Slope of the metric on what was known of the unit before, pooled over arms; 0 where that never varied."""
    x, y = np.asarray(pre, dtype=np.float64), np.asarray(post, dtype=np.float64)
    centred = x - x.mean()
    spread = float(centred @ centred)
    return float(centred @ (y - y.mean())) / spread if spread > 0.0 else 0.0


def sample_size_per_arm(sigma: float, delta: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Units per arm that find a difference of `delta` with this power; `sigma` is a unit's standard deviation."""
    z = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return math.ceil(2 * (sigma * z / delta) ** 2)


def sequential_interval(diff: float, se: float, n: float, alpha: float = 0.05, tuning: float = 5000.0) -> Interval:
    """Interval that covers at every look at once (asymptotic mixture bound), narrowest near n = `tuning` units."""
    if n <= 0:
        return Interval(-math.inf, math.inf)
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuning
    grown = n * rho2 + 1
    half = se * math.sqrt(n) * math.sqrt(2 * grown / (n * n * rho2) * math.log(math.sqrt(grown) / alpha))
    return Interval(diff - half, diff + half)


def delta_ratio(x: npt.ArrayLike, n: npt.ArrayLike) -> Estimate:
    """Ratio of two sums over k units, sum(x) / sum(n), such as errors per trip by rider, by the delta method."""
    num, den = np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64)
    k = num.size
    mean_x, mean_n = float(num.mean()), float(den.mean())
    (var_x, cov), (_, var_n) = np.cov(num, den)
    variance = (var_x / mean_n**2 + var_n * mean_x**2 / mean_n**4 - 2 * cov * mean_x / mean_n**3) / k
    return Estimate(mean_x / mean_n, math.sqrt(max(variance, 0.0)))


def clustered_se(values: npt.ArrayLike, clusters: npt.ArrayLike) -> float:
    """Standard error of the mean where values of one cluster (a rider, a day) go together."""
    y = np.asarray(values, dtype=np.float64)
    _, of = np.unique(np.asarray(clusters), return_inverse=True)
    residuals = np.bincount(of, weights=y - y.mean())
    groups = residuals.size
    return math.sqrt(float(residuals @ residuals) * groups / (groups - 1)) / y.size


def psi(p: npt.ArrayLike, q: npt.ArrayLike, floor: float = 1e-6) -> float:
    """Population stability index of two sets of shares; an empty bin counts as `floor`."""
    a = np.maximum(np.asarray(p, dtype=np.float64), floor)
    b = np.maximum(np.asarray(q, dtype=np.float64), floor)
    return float(np.sum((a - b) * np.log(a / b)))
