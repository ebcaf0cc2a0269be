"""What moved is told from chance and from trifles; the distances are what their definitions say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from contracts.schema import Floats
from training.drift import DEFAULT, Column, Labels, Rule, Shift, by_chance, compare, js_distance, shift

DAYS = 30
ANY_EFFECT = Rule(min_psi=0.0, min_wasserstein=0.0)


def days_of(rows: int, days: int = DAYS) -> np.ndarray:
    """As many rows a day, in turns."""
    return np.arange(rows) % days


def shifted(before: Floats | Labels, after: Floats | Labels, *, days: int = DAYS, rule: Rule = DEFAULT) -> Shift:
    """The shift of one column whose rows are spread over days."""
    sides = days_of(len(before), days), days_of(len(after), days)
    return shift("it", Column("data", before), Column("data", after), days=sides, level=0.05, rule=rule)


def names(**counts: int) -> Labels:
    """So many rows of each label."""
    return np.array([name for name, count in counts.items() for _ in range(count)], dtype=object)


def test_distances_are_what_they_say() -> None:
    """By hand, for shares of 0.8 and 0.2 that became 0.6 and 0.4."""
    found = shifted(names(East=8000, West=2000), names(East=6000, West=4000))
    assert found.psi == pytest.approx(-0.2 * np.log(0.6 / 0.8) + 0.2 * np.log(0.4 / 0.2), rel=2e-3)
    assert found.js == pytest.approx(js_distance(np.array([0.8, 0.2]), np.array([0.6, 0.4])), rel=2e-2)
    assert found.wasserstein is None
    assert (found.what, round(found.before, 2), round(found.after, 2)) == ("share of East", 0.8, 0.6)
    assert found.moved


def test_a_shift_of_a_normal_is_its_effect_in_sigmas() -> None:
    """Wasserstein over sigma of a mere shift is Cohen's d."""
    values = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000) * 7.0
    found = shifted(values, values + 0.25 * 7.0)
    assert found.wasserstein == pytest.approx(0.25, rel=1e-3)
    assert found.psi < DEFAULT.min_psi  # which alone would not look
    assert found.moved
    assert found.what == "median"


def test_a_big_sample_does_not_alarm_on_a_trifle() -> None:
    """A fiftieth of a sigma in a million rows is certain, and nothing to wake anybody for."""
    rng = np.random.default_rng(0)
    before, after = rng.normal(0, 1, 500_000), rng.normal(0.02, 1, 500_000)
    found = shifted(before, after)
    assert found.chance is not None
    assert found.psi > found.chance
    assert not found.moved


def test_chance_of_independent_rows_is_the_published_one() -> None:
    """(1/n + 1/m) chi-square of bins - 1, where days are no more alike than rows."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 10, 3000), rng.integers(0, 10, 2000)
    # Each bin as often on every day: less than chance, so that rows count as independent.
    blocks = tuple(np.argsort(np.argsort(side, kind="stable")) % DAYS for side in rows)
    found = by_chance(rows, blocks, bins=10, level=0.01)
    assert found == pytest.approx((1 / 3000 + 1 / 2000) * stats.chi2.isf(0.01, 9), rel=0.02)


def test_alarms_by_chance_are_as_rare_as_promised_where_days_differ() -> None:
    """Half of a sigma of each day's own: taken for independent, more than half of such pairs would alarm."""
    rng, alarms, naive = np.random.default_rng(2), 0, 0
    for _ in range(200):
        sides, days = [], []
        for rows in (3000, 2000):
            day = rng.integers(0, DAYS, rows)
            sides.append(rng.normal(size=rows) + 0.5 * rng.normal(size=DAYS)[day])
            days.append(day)
        found = shift(
            "it", *(Column("data", one) for one in sides), days=(days[0], days[1]), level=0.05, rule=ANY_EFFECT
        )
        alarms += found.moved
        naive += found.psi > (1 / 3000 + 1 / 2000) * stats.chi2.isf(0.05, 9)
    assert alarms <= 20
    assert naive > 100


def test_the_chance_of_any_alarm_is_shared_by_the_columns() -> None:
    """Forty columns of which nothing moved: one alarm in twenty reports at most, not two a report."""
    rng, reports = np.random.default_rng(3), 0
    for _ in range(40):
        sides = [{f"c{i}": Column("data", rng.normal(size=1500)) for i in range(40)} for _ in ("reference", "current")]
        found = compare(*sides, days=(days_of(1500), days_of(1500)), rule=ANY_EFFECT)
        reports += any(one.moved for one in found)
    assert reports <= 4


def test_few_days_can_not_be_told_from_chance() -> None:
    """The distances stand there, and nothing is called moved."""
    found = shifted(np.arange(900.0), np.arange(900.0) + 400.0, days=3)
    assert found.chance is None
    assert not found.moved
    assert found.psi > 1.0


def test_one_day_is_judged_by_how_the_reference_varies() -> None:
    """And more is left to chance than with thirty of them."""
    rng = np.random.default_rng(4)
    day = days_of(6000)
    before = Column("data", rng.normal(size=6000) + 0.3 * rng.normal(size=DAYS)[day])
    after = Column("data", rng.normal(size=3000) + 0.1)
    one_day = shift("it", before, after, days=(day, np.zeros(3000, dtype=np.int64)), level=0.05)
    month = shift("it", before, after, days=(day, days_of(3000)), level=0.05)
    assert one_day.chance is not None
    assert month.chance is not None
    assert one_day.chance > 2 * month.chance


def test_a_column_that_remembers_has_fewer_days_to_its_name() -> None:
    """A window of a week is the same value for many days: thirty days are four of it, two are none."""
    rng, days = np.random.default_rng(5), days_of(3000)
    values = rng.normal(size=3000) + 0.5 * rng.normal(size=DAYS)[days]
    chances = [
        shift("it", *(Column("data", values, memory) for _ in range(2)), days=(days, days), level=0.05).chance
        for memory in (1, 8, 29)
    ]
    assert chances[2] is None
    assert chances[0] is not None
    assert chances[1] is not None


def test_absent_values_are_told_as_such() -> None:
    """A store that went stale shows as what it is, not as a shift of what is left."""
    rng = np.random.default_rng(6)
    before, after = rng.normal(size=6000), rng.normal(size=6000)
    after[rng.random(6000) < 0.3] = np.nan
    found = shifted(before, after)
    assert found.moved
    assert found.what == "absent"
    assert (round(found.before, 2), round(found.after, 1)) == (0.0, 0.3)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (np.ones(3000), np.full(3000, 2.0), "share of 1"),  # a constant that changed
        (np.full(3000, np.nan), np.ones(3000), "absent"),
        (names(East=3000), names(East=1500, West=1500), "share of East"),  # a label nobody had seen
        (np.repeat([0.0, 1.0], 1500), np.repeat([0.0, 0.0, 0.0, 1.0], 750), "share of 0"),  # a flag
    ],
)
def test_columns_of_few_values_are_cut_by_them(before: Floats | Labels, after: Floats | Labels, what: str) -> None:
    """No quantile is needed to see it."""
    found = shifted(before, after)
    assert found.moved
    assert found.what == what


@settings(max_examples=40, deadline=None)
@given(
    *(
        hnp.arrays(np.float64, st.integers(5, 80), elements=st.just(np.nan) | st.floats(-1e6, 1e6, width=32))
        for _ in range(2)
    )
)
def test_whatever_the_numbers_distances_are_distances(before: Floats, after: Floats) -> None:
    """Never negative, JS at most one, and none at all to itself."""
    found, same = shifted(before, after, days=5), shifted(before, before, days=5)
    assert found.psi >= 0.0
    assert 0.0 <= found.js <= 1.0
    assert found.wasserstein is None or found.wasserstein >= 0.0
    assert (same.psi, same.js, same.moved) == (0.0, 0.0, False)
