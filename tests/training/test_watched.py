"""What is watched, and drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest

from training.drift import Column, compare
from training.drift_plots import draw_drift
from training.watched import memory_days


@pytest.mark.parametrize(
    ("name", "days"),
    [("distance_km", 1), ("city_log_ratio_60m", 1), ("city_log_ratio_1d", 2), ("pickup_log_ratio_7d", 8)],
)
def test_a_window_is_remembered_as_long_as_it_is(name: str, days: int) -> None:
    """And a day more, since it ends within one."""
    assert memory_days(name) == days


def test_what_moved_is_drawn() -> None:
    """Numbers, labels, constants, columns of nothing; also where nothing moved."""
    rng, rows = np.random.default_rng(0), 3000
    borough = np.where(rng.random(rows) < 0.5, "Queens", "Bronx").astype(object)
    before = {
        "speed": Column("label", rng.normal(20, 4, rows)),
        "borough": Column("data", borough),
        "flag": Column("data", np.ones(rows)),
        "gone": Column("data", np.full(rows, np.nan)),
        "week": Column("data", rng.normal(size=rows), 40),
    }
    after = {**before, "speed": Column("label", rng.normal(15, 4, rows))}
    days = np.arange(rows) % 20
    for current in (after, before):
        shifts = compare(before, current, days=(days, days))
        figure = draw_drift(shifts, before, current, ("old", "new"))
        figure.savefig(io.BytesIO(), format="png", dpi=30)
        title = figure.get_suptitle()
        assert title == f"{int(current is after)} of 5 columns moved from old to new"
