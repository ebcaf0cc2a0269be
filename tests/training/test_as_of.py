"""The index gives what the join gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapters.trips_file import trips_writer, write_zones
from contracts.errors import SchemaMismatch
from contracts.features import LOOKED_UP
from pipelines.layout import Layout
from pipelines.materialize import build, tables
from tests.some_trips import START, ZONES, some_trips, zone_frame
from training.as_of import AsOf
from training.dataset import point_in_time_join


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of four days of trips."""
    home = tmp_path_factory.mktemp("home")
    write_zones(Layout(home).zones, zone_frame(ZONES), "a test")
    with trips_writer(Layout(home).trips, "a test") as append:
        append(some_trips(1500, days=4))
    build(home)
    return home


@pytest.mark.parametrize("days", [(0.0, 4.0), (3.5, 3.6), (5.0, 30.0)])
def test_columns_are_the_joins_bit_by_bit(home: Path, days: tuple[float, float]) -> None:
    """Within the history, at its end, long after it; on the second and between."""
    rng = np.random.default_rng(2)
    seconds = rng.integers(round(days[0] * 86_400 * 4), round(days[1] * 86_400 * 4), 800) / 4
    at = pd.Series(START.tz_convert("UTC") + pd.to_timedelta(seconds, unit="s")).dt.as_unit("us")
    pickup, dropoff = rng.integers(0, 4, (2, len(at)))
    ids = np.array(ZONES.ids, dtype=object)
    asked = pd.DataFrame({"pickup_at": at, "pickup_zone": ids[pickup], "dropoff_zone": ids[dropoff]})
    at_us = at.astype("int64").to_numpy()
    index = AsOf(tables(home), ZONES, first_us=int(at_us.min()), last_us=int(at_us.max()))
    columns, newest = index.look_up(pickup, dropoff, at_us)
    expected = point_in_time_join(asked, tables(home))
    np.testing.assert_array_equal(columns, expected[list(LOOKED_UP)].to_numpy().T)
    assert (newest <= at_us).all()
    assert ((newest > 0) == ~np.isnan(columns).all(axis=0)).mean() > 0.99
    assert index.nbytes > 0


def test_no_history_is_no_value(home: Path) -> None:
    """Requests of before the first trip have neither values nor a snapshot."""
    at_us = np.array([int(START.timestamp() * 1e6) - 10**9])
    index = AsOf(tables(home), ZONES, first_us=int(at_us[0]), last_us=int(at_us[0]))
    columns, newest = index.look_up(np.array([0]), np.array([1]), at_us)
    assert np.isnan(columns).all()
    assert newest.tolist() == [0]


def test_a_view_without_a_table_is_named(home: Path) -> None:
    """As the join does."""
    with pytest.raises(SchemaMismatch, match="no 'city_live'"):
        AsOf(tables(home)[1:], ZONES, first_us=0, last_us=1)
