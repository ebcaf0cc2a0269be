"""Reading an A/B test: one effect with its intervals, what confounds it, and how long the test must run. Pure.

A unit (a rider, say) has one figure: its mean over its trips. `a` is the champion, `b` the candidate; arrays are
[units].
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from model_registry.ab import adjusted_means
from model_registry.evidence import Moments
from model_registry.stats import (
    Estimate,
    Interval,
    clustered_se,
    normal_quantile,
    sample_size_per_arm,
    sequential_interval,
    srm_p_value,
    welch,
)


class Effect(Struct, frozen=True):
    """B minus A. `low`..`high` and `p` hold at one planned end; `always` holds whenever somebody looks.

    `relative` is the difference over A's mean; `kept` is the share of the variance that the history left (1 without).
    """

    base: float
    diff: float
    relative: float
    low: float
    high: float
    p: float
    always: Interval
    units: tuple[int, int]
    kept: float
    srm_p: float


class Plan(Struct, frozen=True):
    """Units per arm for a difference, without and with the units' history, and how long the latter takes.

    `weeks` are whole ones: a test that begins on a Monday must not end on a Friday.
    """

    delta: float
    per_arm: int
    per_arm_cuped: int
    days: float
    weeks: int


def moments(y: npt.ArrayLike, pre: npt.ArrayLike | None = None) -> Moments:
    """The sums of one arm's units; `pre` is the metric before the experiment, with the overall mean where unknown."""
    post = np.asarray(y, dtype=np.float64)
    x = np.zeros_like(post) if pre is None else np.asarray(pre, dtype=np.float64)
    return Moments(post.size, *(float(s) for s in (post.sum(), post @ post, x.sum(), x @ x, x @ post)))


def compare(a: Moments, b: Moments, *, alpha: float = 0.05, tuning: float = 5000.0, split: float = 0.5) -> Effect:
    """The effect with what history explains taken out; raises ValueError below two units an arm.

    `split` is B's planned share of the units.
    """
    plain = welch(a.y, a.yy, a.n, b.y, b.yy, b.n, alpha)
    base, found = adjusted_means(a, b)
    diff, se = found.value - base.value, math.hypot(base.se, found.se)
    z = normal_quantile(1 - alpha / 2)
    plain_se = (plain.high - plain.low) / 2 / z
    return Effect(
        base=base.value,
        diff=diff,
        relative=diff / base.value if base.value else math.nan,
        low=diff - z * se,
        high=diff + z * se,
        p=math.erfc(abs(diff) / se / math.sqrt(2)) if se else float(diff == 0),
        always=sequential_interval(diff, se, a.n + b.n, alpha, tuning),
        units=(a.n, b.n),
        kept=(se / plain_se) ** 2 if plain_se else 1.0,
        srm_p=srm_p_value((a.n, b.n), (1 - split, split)),
    )


def stratified(y: npt.ArrayLike, treated: npt.ArrayLike, strata: npt.ArrayLike) -> Estimate:
    """Difference within strata (weekday and hour, borough, weather, promotion), weighted by the strata's sizes.

    A stratum in which an arm has fewer than two units can't be compared: raises ValueError with its name.
    """
    values, on = np.asarray(y, dtype=np.float64), np.asarray(treated, dtype=bool)
    names, of = np.unique(np.asarray(strata), return_inverse=True)
    total, variance = 0.0, 0.0
    for i, name in enumerate(names):
        b, a = values[(of == i) & on], values[(of == i) & ~on]
        if min(a.size, b.size) < 2:  # noqa: PLR2004 - a variance needs two
            raise ValueError(f"stratum {name} has {a.size} and {b.size} units, need at least 2 of each arm")
        weight = (a.size + b.size) / values.size
        total += weight * float(b.mean() - a.mean())
        variance += weight**2 * float(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size)
    return Estimate(total, math.sqrt(variance))


def difference_in_differences(
    before_a: npt.ArrayLike, after_a: npt.ArrayLike, before_b: npt.ArrayLike, after_b: npt.ArrayLike
) -> Estimate:
    """How much more B changed than A; the same units before and after, so that what hits both cancels."""
    change_a = np.asarray(after_a, dtype=np.float64) - np.asarray(before_a, dtype=np.float64)
    change_b = np.asarray(after_b, dtype=np.float64) - np.asarray(before_b, dtype=np.float64)
    variance = float(change_a.var(ddof=1) / change_a.size + change_b.var(ddof=1) / change_b.size)
    return Estimate(float(change_b.mean() - change_a.mean()), math.sqrt(variance))


def clustered_difference(
    a: npt.ArrayLike, clusters_a: npt.ArrayLike, b: npt.ArrayLike, clusters_b: npt.ArrayLike
) -> Estimate:
    """Difference of means over trips whose riders, days or switchback windows go together; clusters lie in one arm."""
    diff = float(np.mean(np.asarray(b)) - np.mean(np.asarray(a)))
    return Estimate(diff, math.hypot(clustered_se(a, clusters_a), clustered_se(b, clusters_b)))


def plan(
    *,
    baseline: float,
    relative: float,
    sigma: float,
    units_per_day: float,
    correlation: float = 0.0,
    split: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
) -> Plan:
    """Size a test that finds a relative change of the baseline.

    `sigma` is a unit's standard deviation, `correlation` that of its metric with its own history, `units_per_day` the
    new units of both arms together, `split` B's share; with unequal arms the smaller one sets the time.
    """
    delta = abs(baseline * relative)
    per_arm = sample_size_per_arm(sigma, delta, alpha, power)
    adjusted = sample_size_per_arm(sigma * math.sqrt(1 - correlation**2), delta, alpha, power)
    # The variance of a difference is 1/n_a + 1/n_b, which an uneven split makes larger.
    total = adjusted / 2 / (split * (1 - split))
    days = total / units_per_day
    return Plan(delta, per_arm, adjusted, days, math.ceil(days / 7))


def rate_sigma(baseline: float, trips: float, spread: float = 0.0) -> float:
    """Standard deviation of a unit's share over `trips` trips, where the units' true shares vary by `spread`."""
    return math.sqrt(spread**2 + (baseline * (1 - baseline) - spread**2) / trips)
