"""The figures are what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluate import Estimates, assess, mae_interval, quantile_loss, score, score_range, score_slices, slices

ACTUAL = np.array([100.0, 200.0, 400.0, 1000.0])
ETA = np.array([110.0, 180.0, 400.0, 1200.0])


def test_point_figures_by_hand() -> None:
    """Errors +10, -20, 0, +200."""
    figures = score(ACTUAL, ETA)
    assert figures["mae_s"] == pytest.approx(57.5)
    assert figures["median_ae_s"] == pytest.approx(15.0)
    assert figures["bias_s"] == pytest.approx(47.5)
    assert figures["mape"] == pytest.approx((0.1 + 0.1 + 0 + 0.2) / 4)
    assert figures["rmse_s"] == pytest.approx(np.sqrt((100 + 400 + 40000) / 4))
    assert figures["p90_ae_s"] == pytest.approx(20 + 0.7 * 180)


@given(st.floats(0.05, 0.95), st.integers(0, 9))
def test_the_quantile_has_the_least_quantile_loss(quantile: float, seed: int) -> None:
    """No constant does better than the sample's own quantile."""
    sample = np.random.default_rng(seed).exponential(600.0, 400)
    best = quantile_loss(sample, np.full(400, np.quantile(sample, quantile, method="inverted_cdf")), quantile)
    others = [quantile_loss(sample, np.full(400, constant), quantile) for constant in np.linspace(0, 3000, 61)]
    assert best <= min(others) + 1e-9


def test_range_figures_count_both_ends_as_inside() -> None:
    """Coverage is a share; a model without a range has none."""
    figures = score_range(ACTUAL, Estimates(ETA, ACTUAL - 0.0, ACTUAL + np.array([0, 10, 20, -1])))
    assert figures["coverage"] == 0.75
    assert figures["quantile_loss_0.5_s"] == pytest.approx(57.5 / 2)
    assert score_range(ACTUAL, Estimates(ETA)) == {}


def test_slices_cover_every_trip_once() -> None:
    """Labels come in a readable order, hours as numbers."""
    labels = slices(
        ["Queens", "Bronx", "Queens", "Bronx"], np.array([0, 9, 23, 9]), np.array([0, 4, 5, 6]), ACTUAL / 50
    )
    table = score_slices(ACTUAL, Estimates(ETA), labels)
    assert list(table["hour"]) == ["00", "09", "23"]
    assert list(table["distance"]) == ["2-4 km", "4-8 km", "8-16 km", "over 16 km"]
    assert table["week"]["weekend"]["trips"] == 2
    assert all(sum(row["trips"] for row in rows.values()) == 4 for rows in table.values())


def test_days_are_resampled_whole() -> None:
    """Trips of one day go together: with a single day nothing varies, with unlike days much does."""
    day = np.repeat([1, 2, 3, 4], 50)
    eta = np.where(day == 4, 700.0, 610.0)
    actual = np.full(200, 600.0)
    assert mae_interval(actual, eta, np.zeros(200, dtype=np.int64)) == pytest.approx((32.5, 32.5))
    low, high = mae_interval(actual, eta, day)
    assert low == pytest.approx(10.0)
    assert high > 50.0


def test_models_are_judged_side_by_side() -> None:
    """The baseline saves nothing on itself; a range is judged where there is one; every figure has a flat name."""
    models = {"plain": Estimates(ETA * 1.3), "better": Estimates(ETA, ETA * 0.5, ETA * 2)}
    labels = {"week": np.array(["weekday"] * 4, dtype=object)}
    found = assess(ACTUAL, models, labels, np.arange(4), baseline="plain")
    assert found.table["plain"]["below_baseline"] == 0.0
    assert found.table["better"]["below_baseline"] == pytest.approx(1 - 57.5 / found.table["plain"]["mae_s"])
    assert list(found.ranges) == ["better"]
    assert found.slices["better"]["week"]["weekday"]["mae_s"] == found.flat()["better.mae_s"] == pytest.approx(57.5)
    assert found.flat()["better.coverage"] == 1.0
