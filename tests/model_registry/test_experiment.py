"""Experiments on planted effects: found with the planned units, with fewer by history, and unmoved by confounders."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.planted import CANCELLATIONS, CONVERSION, planned, power
from model_registry.ab import decide_ab
from model_registry.evidence import Moments
from model_registry.experiment import (
    clustered_difference,
    compare,
    difference_in_differences,
    moments,
    plan,
    stratified,
)
from model_registry.guardrails import Outcome
from model_registry.policy import AB, Decide
from model_registry.stats import cuped_theta, welch

STEP = AB(weight=50, metric="abs_error_s", min_units=1000, max_for=86400, cuped=True)


def test_without_history_the_effect_is_welchs() -> None:
    """Same difference, and an interval within the t distribution's whisker."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(10, 3, 4000), rng.normal(10.2, 3, 4000)
    found, plain = compare(moments(a), moments(b)), welch(a.sum(), a @ a, 4000, b.sum(), b @ b, 4000)
    assert (found.diff, found.low, found.high) == pytest.approx(plain[:3], abs=1e-4)
    assert found.kept == pytest.approx(1, abs=1e-3)
    assert found.always.low < found.low < found.high < found.always.high


def test_history_leaves_what_the_correlation_leaves() -> None:
    """The variance kept is 1 - correlation², and the effect is that of regressing on the history by hand."""
    rng = np.random.default_rng(2)
    pre = rng.normal(0, 1, 20_000)
    y = 100 + 8 * pre + rng.normal(0, 6, 20_000)
    on = rng.random(20_000) < 0.5
    y[on] += 0.5
    found = compare(moments(y[~on], pre[~on]), moments(y[on], pre[on]))
    theta = cuped_theta(pre, y)
    by_hand = (y - theta * pre)[on].mean() - (y - theta * pre)[~on].mean()
    assert found.diff == pytest.approx(by_hand, abs=2e-3)
    assert found.kept == pytest.approx(1 - 0.64, abs=0.02)
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize("effect", [CONVERSION, CANCELLATIONS])
def test_planted_effects_are_found_with_the_planned_units(effect: str) -> None:
    """Conversion + 3.1 % and cancellations - 8.4 %, in at least 80 % of the runs, and with fewer units by history."""
    sized = planned(effect)
    assert sized.per_arm_cuped < 0.8 * sized.per_arm
    assert power(effect, sized.per_arm, runs=60, seed=3, cuped=False) >= 0.8
    assert power(effect, sized.per_arm_cuped, runs=60, seed=4, cuped=True) >= 0.8


def test_strata_take_a_confounder_out() -> None:
    """More of B at the slow hour looks like harm; within hours there is none."""
    rng = np.random.default_rng(5)
    rush = rng.random(40_000) < 0.3
    on = rng.random(40_000) < np.where(rush, 0.7, 0.3)
    y = np.where(rush, 300.0, 200.0) + rng.normal(0, 50, 40_000)
    assert y[on].mean() - y[~on].mean() > 25
    value, se = stratified(y, on, rush)
    assert abs(value) < 4 * se < 4
    with pytest.raises(ValueError, match="stratum False has 0 and"):
        stratified(y, on | ~rush, rush)


def test_difference_in_differences_takes_a_common_shock_out() -> None:
    """A storm that slows both arms leaves the planted effect."""
    rng = np.random.default_rng(6)
    level_a, level_b = rng.normal(200, 40, 5000), rng.normal(220, 40, 5000)

    def noise() -> np.ndarray:
        return rng.normal(0, 10, 5000)

    value, se = difference_in_differences(level_a, level_a + 60 + noise(), level_b, level_b + 60 - 5 + noise())
    assert value == pytest.approx(-5, abs=4 * se)
    assert se < 0.3


def test_clusters_widen_the_error() -> None:
    """Trips of one day go together: the error is that of the days, not of the trips."""
    rng = np.random.default_rng(7)
    days = np.repeat(np.arange(40), 100)

    def arm() -> np.ndarray:
        return np.repeat(rng.normal(0, 1, 40), 100) + rng.normal(0, 1, 4000)

    _, se = clustered_difference(arm(), days, arm(), days)
    assert se == pytest.approx(math.sqrt(2 / 40), rel=0.3)


def test_the_plan_counts_days_by_the_smaller_arm() -> None:
    """An uneven split takes longer, and a test runs whole weeks."""
    even = plan(baseline=0.6, relative=0.031, sigma=math.sqrt(0.24), units_per_day=4000)
    uneven = plan(baseline=0.6, relative=0.031, sigma=math.sqrt(0.24), units_per_day=4000, split=0.1)
    assert even.per_arm == 10_890
    assert even.days == pytest.approx(2 * 10_890 / 4000)
    assert uneven.days == pytest.approx(even.days * 0.25 / 0.09)
    assert (even.weeks, uneven.weeks) == (1, 3)


def arm(mean: float, n: int = 400_000) -> Moments:
    """Units with exponential errors, and no history."""
    return Moments(n, mean * n, 2 * mean**2 * n)


@pytest.mark.parametrize(
    ("champion", "candidate", "outcome"),
    [
        (arm(100), arm(100), Outcome.PASS),
        (arm(100), arm(97), Outcome.PASS),
        (arm(100), arm(103), Outcome.FAIL),
        (arm(100), arm(100.9), Outcome.INCONCLUSIVE),
        (arm(100, 400), arm(100, 400), Outcome.NO_DATA),
        (arm(100, 1), arm(100), Outcome.NO_DATA),
    ],
)
def test_the_ab_step_decides_by_the_margin(champion: Moments, candidate: Moments, outcome: Outcome) -> None:
    """Within one per cent is enough; unsure goes on; too few units say nothing."""
    assert decide_ab(Decide(margin=0.01), STEP, (champion, candidate)).outcome is outcome


def test_superior_means_better() -> None:
    """As good is not enough where the policy asks for better; for conversion better is higher."""
    superior = Decide(ab="superior", margin=0.01)
    assert decide_ab(superior, STEP, (arm(100), arm(100))).outcome is Outcome.INCONCLUSIVE
    assert decide_ab(superior, STEP, (arm(100), arm(97))).outcome is Outcome.PASS
    conversion = AB(weight=50, metric="conversion", min_units=1000, max_for=86400)

    def rate(p: float) -> Moments:
        return Moments(400_000, 400_000 * p, 400_000 * p)

    assert decide_ab(superior, conversion, (rate(0.6), rate(0.62))).outcome is Outcome.PASS
    assert decide_ab(Decide(margin=0.01), conversion, (rate(0.6), rate(0.58))).outcome is Outcome.FAIL
    assert decide_ab(Decide(), conversion, None).outcome is Outcome.NO_DATA
