"""Reference values of public implementations, and what the tests promise, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_registry import stats
from model_registry.bounds import exact_lower, rank_lower, rank_upper
from model_registry.histogram import GROWTH, Histogram, merge


def test_welch() -> None:
    """GrowthBook's example."""
    found = stats.welch(1396.87, 52377.9767, 3407, 2422.7, 134698.29, 3461)
    assert found == pytest.approx((0.29, 0.04538, 0.53462, 0.02016), abs=5e-6)


def test_welch_needs_two_of_each() -> None:
    """One value has no variance."""
    with pytest.raises(ValueError, match="1 and 5"):
        stats.welch(1, 1, 1, 5, 5, 5)


def test_srm() -> None:
    """A thousand against twelve hundred is no even split."""
    assert stats.srm_p_value([1000, 1200], [0.5, 0.5]) == pytest.approx(2.0079e-5, rel=1e-4)


def test_cuped_theta() -> None:
    """Covariance over variance, pooled."""
    assert stats.cuped_theta([0.3, 0.5, 0.9, 22], [2, 1, 5, 3]) == pytest.approx(0.01864, abs=5e-6)
    assert stats.cuped_theta([1, 1], [2, 3]) == 0


def test_sample_size() -> None:
    """The exact figure, not the rule of thumb's 17,778."""
    assert stats.sample_size_per_arm(10, 0.3) == 17_442


def test_psi() -> None:
    """Four bins."""
    assert stats.psi([0.25] * 4, [0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.228217, abs=5e-7)


def test_sequential_interval_by_its_formula() -> None:
    """The bound at a given n, written out."""
    alpha, n, se = 0.05, 800.0, 0.2
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / 5000
    half = se * math.sqrt(n) * math.sqrt(2 * (n * rho2 + 1) / (n**2 * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))
    assert stats.sequential_interval(1.0, se, n) == pytest.approx((1 - half, 1 + half))
    assert stats.sequential_interval(1.0, se, 0) == (-math.inf, math.inf)


def test_sequential_interval_covers_under_peeking() -> None:
    """At 190 looks a run, at least 95 % of the runs are covered at each of them (10,000 runs: docs/rollouts.md)."""
    rng = np.random.default_rng(3)
    runs, missed, looks = 300, 0, np.arange(100, 2000, 10)
    for _ in range(runs):
        a, b = rng.exponential(1.0, 2000).cumsum(), rng.exponential(1.0, 2000).cumsum()
        for n in looks:
            low, high = stats.sequential_interval((b[n - 1] - a[n - 1]) / n, math.sqrt(2 / n), 2 * n)
            if not low <= 0 <= high:
                missed += 1
                break
    assert missed / runs <= 0.05


def test_sequential_srm_keeps_its_promise_and_finds_a_shift() -> None:
    """Looked at all the time: at most 1 % alarms on an even split, and 48:52 found by 20,000 units."""
    rng = np.random.default_rng(5)

    def alarm(share: float) -> bool:
        a = rng.binomial(100, share, 200).cumsum()
        return any(stats.sequential_srm_p_value((x, 100 * i - x), (0.5, 0.5)) < 0.01 for i, x in enumerate(a, 1))

    assert sum(alarm(0.5) for _ in range(200)) <= 2 + 3
    assert sum(alarm(0.48) for _ in range(50)) >= 46


def test_delta_ratio_agrees_with_the_bootstrap() -> None:
    """Standard error of errors per trip, riders resampled."""
    rng = np.random.default_rng(7)
    trips = rng.poisson(4, 2000) + 1.0
    x = trips * rng.gamma(2, 50, 2000)
    ratio, se = stats.delta_ratio(x, trips)
    picks = rng.integers(0, 2000, (400, 2000))
    resampled = x[picks].sum(1) / trips[picks].sum(1)
    assert ratio == pytest.approx(x.sum() / trips.sum())
    assert se == pytest.approx(resampled.std(), rel=0.12)


def test_clustered_error_keeps_five_per_cent_where_the_naive_one_has_forty() -> None:
    """A/A with 100 clusters of 50 in each arm and an intra-class correlation of .1."""
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(100), 50)
    runs, naive, clustered = 400, 0, 0

    def arm() -> np.ndarray:
        return np.repeat(rng.normal(0, math.sqrt(0.1), 100), 50) + rng.normal(0, math.sqrt(0.9), 5000)

    for _ in range(runs):
        a, b = arm(), arm()
        diff = abs(b.mean() - a.mean())
        naive += diff > 1.96 * math.hypot(a.std(ddof=1), b.std(ddof=1)) / math.sqrt(5000)
        clustered += diff > 1.96 * math.hypot(stats.clustered_se(a, clusters), stats.clustered_se(b, clusters))
    assert naive / runs == pytest.approx(0.42, abs=0.07)
    assert clustered / runs == pytest.approx(0.05, abs=0.035)


def test_exact_bound_is_wrong_as_rarely_as_it_says() -> None:
    """The chance that the lower bound exceeds the truth, summed over all counts; without samples it is 0."""
    assert exact_lower(0, 0, 0.001) == exact_lower(0, 100, 0.001) == 0
    for n, p in ((20, 0.5), (200, 0.005), (1000, 0.02)):
        chance = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1) if exact_lower(k, n, 0.001) > p)
        assert chance <= 0.001


def test_rank_bounds_by_their_definition() -> None:
    """Ranks of the 99 % quantile of 1,000 values at 0.1 %; none above for 100."""
    low, high = rank_lower(1000, 0.99, 0.001), rank_upper(1000, 0.99, 0.001)
    rng = np.random.default_rng(1)
    drawn = np.sort(rng.random((4000, 1000)), axis=1)
    assert np.mean(drawn[:, low - 1] > 0.99) <= 0.003
    assert np.mean(drawn[:, high - 1] < 0.99) <= 0.003
    assert rank_upper(100, 0.99, 0.001) == 101


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_histograms_merge_and_keep_two_per_cent(values: list[float], cut: int, q: float) -> None:
    """Two halves merged are the whole, and a quantile is at most 2 % above the order statistic that it stands for."""
    whole = Histogram.of(values)
    assert merge([Histogram.of(values[:cut]), Histogram.of(values[cut:])]) == whole
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    assert exact <= whole.quantile(q) * (1 + 1e-9)
    assert whole.quantile(q) <= max(exact, 0.01) * GROWTH * (1 + 1e-9)
    assert whole.lower(q, 0.01) <= whole.quantile(q) <= whole.upper(q, 0.01)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_histogram_takes_durations_only(value: float) -> None:
    """A negative, infinite or missing latency is refused."""
    with pytest.raises(ValueError, match="is not a duration"):
        Histogram.of([value])
