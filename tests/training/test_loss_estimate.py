"""The error is estimated from features alone, and labels say how well."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.schema import Floats, Matrix
from training.loss_estimate import Days, fit_loss, score_estimate


def draw(
    hard_share: float, *, rows: int = 12_000, days: int = 30, harm: float = 1.0, seed: int = 0
) -> tuple[Matrix, Floats, Floats, Days]:
    """Trips of about 900 s, easy and hard ones: 60 s of noise on the one, 240 s on the other."""
    rng = np.random.default_rng(seed)
    hard = rng.random(rows) < hard_share
    matrix = np.column_stack([hard + rng.normal(0, 0.1, rows), rng.normal(size=rows)]).astype(np.float32)
    eta_s = 900.0 + 100.0 * matrix[:, 1].astype(np.float64)
    actual_s = eta_s + harm * np.where(hard, 240.0, 60.0) * rng.normal(size=rows)
    return matrix, eta_s, actual_s, np.arange(rows) % days


def test_harder_trips_raise_the_estimate_before_labels_do() -> None:
    """The mix moved and nothing else: the real error is inside the interval, within 3 %."""
    model = fit_loss(*draw(0.2))
    assert model is not None
    matrix, eta_s, actual_s, day = draw(0.6, seed=1)
    estimate = model.estimate(matrix, eta_s, day)
    found = score_estimate(estimate, eta_s, actual_s)
    assert estimate.mae_s > 1.5 * model.mae_s
    assert abs(found.off) < 0.03
    assert found.inside


def test_the_reference_is_estimated_as_it_is() -> None:
    """Other trips of the same kind cost what the reference did."""
    model = fit_loss(*draw(0.3))
    assert model is not None
    matrix, eta_s, actual_s, day = draw(0.3, seed=2)
    estimate = model.estimate(matrix, eta_s, day)
    assert estimate.mae_s == pytest.approx(model.mae_s, rel=0.03)
    assert score_estimate(estimate, eta_s, actual_s).inside


def test_labels_show_what_features_can_not() -> None:
    """The same trips err half as much again: the estimate stays, and its score says by how much it is off."""
    model = fit_loss(*draw(0.3))
    assert model is not None
    matrix, eta_s, actual_s, day = draw(0.3, harm=1.5, seed=3)
    found = score_estimate(model.estimate(matrix, eta_s, day), eta_s, actual_s)
    assert found.off == pytest.approx(-1 / 3, abs=0.03)
    assert not found.inside


def test_an_interval_of_few_days_is_wide() -> None:
    """Its width is that of a mean of as many days."""
    model = fit_loss(*draw(0.3))
    assert model is not None
    matrix, eta_s, _, day = draw(0.3, seed=4)
    wide, narrow = (model.estimate(matrix, eta_s, days) for days in (np.zeros_like(day), day))
    assert wide.high_s - wide.low_s == pytest.approx((narrow.high_s - narrow.low_s) * np.sqrt(30))


def test_too_few_days_make_no_model() -> None:
    """Three days do not show how days miss."""
    assert fit_loss(*draw(0.3, rows=3000, days=3)) is None
