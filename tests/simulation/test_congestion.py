"""The shocks keep the mean, have the spread they say, and last."""

from __future__ import annotations

import numpy as np
import pytest

from simulation.congestion import STEP_S, Congestion, CongestionLaw

_DAYS = 300
_ZONES = 30


@pytest.fixture(scope="module")
def congestion() -> Congestion:
    """A long history of many zones."""
    return Congestion.draw(CongestionLaw(), days=_DAYS, zones=_ZONES, rng=np.random.default_rng(5))


@pytest.mark.parametrize("same_zone", [True, False])
def test_factor_has_mean_one(congestion: Congestion, same_zone: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Congestion changes no pair's mean speed, incidents included."""
    rng = np.random.default_rng(6)
    at_s = rng.integers(0, _DAYS * 86_400, 400_000)
    pickup = rng.integers(0, _ZONES, len(at_s))
    dropoff = pickup if same_zone else (pickup + 1) % _ZONES
    assert congestion.factor(at_s, pickup, dropoff).mean() == pytest.approx(1.0, abs=0.015)


def test_spread_is_as_stated(congestion: Congestion) -> None:
    """Standard deviations of the log speed are the law's."""
    assert congestion.city.std() == pytest.approx(0.15, abs=0.01)
    assert congestion.zones.std() == pytest.approx(0.15, abs=0.005)


def test_shocks_relax_as_stated(congestion: Congestion) -> None:
    """After one relaxation time the correlation is 1/e."""
    for series, relaxation_s in ((congestion.city[:, None], 5400), (congestion.zones, 3600)):
        lag = relaxation_s // STEP_S
        correlation = (series[lag:] * series[:-lag]).mean() / (series**2).mean()
        assert correlation == pytest.approx(np.exp(-1), abs=0.06)


def test_incidents_only_slow_and_last_20_to_90_minutes() -> None:
    """One incident is one run of steps with one factor."""
    law = CongestionLaw(incidents_per_zone_day=0.02)
    incidents = Congestion.draw(law, days=400, zones=5, rng=np.random.default_rng(7)).incidents
    slow = incidents < -1e-9
    assert incidents.max() < 1e-9
    assert np.exp(incidents[slow]).min() >= 0.35 - 1e-9
    for zone in range(5):
        edges = np.flatnonzero(np.diff(slow[:, zone].astype(int), prepend=0, append=0))
        lengths_s = (edges[1::2] - edges[::2]) * STEP_S
        assert lengths_s.size
        assert lengths_s.min() >= 1200 - STEP_S
        assert lengths_s.max() <= 5400 + STEP_S
