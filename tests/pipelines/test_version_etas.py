"""A version's times for simulated days."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapters.online_store import RowLayout
from contracts.errors import NotFound
from contracts.features import VIEWS
from contracts.schema import Floats
from contracts.trips import CITY
from contracts.zones import Positions, Zones
from pipelines.day_rows import DayRows, live_windows, statistics_of
from pipelines.layout import Layout
from pipelines.version_etas import Slotted
from simulation.city import City
from simulation.world import Scenario, World
from tests.small_city import small_wheel


@dataclass
class Asked:
    """Seconds that tell the pair and the moment."""

    moments: list[float] = field(default_factory=list)

    def seconds(self, pickup: Positions, dropoff: Positions, at: float) -> Floats:
        """10 x pickup + dropoff + the moment [n]."""
        self.moments.append(at)
        seconds: Floats = pickup * 10.0 + dropoff + at
        return seconds


def test_all_pairs_are_asked_for_once_a_slot() -> None:
    """A hundred questions of five minutes are one."""
    pairs = Asked()
    slotted = Slotted(pairs, zones=3)
    for at in (600.0, 700.0, 899.0):
        assert slotted.seconds(np.array([2, 0]), np.array([1, 2]), at).tolist() == [621.0, 602.0]
    slotted.seconds(np.array([0]), np.array([0]), 900.0)
    assert pairs.moments == [600.0, 900.0]


def test_statistics_are_the_last_rows(tmp_path: Path) -> None:
    """Of two rows of a pair the later one; what there is no row of is absent."""
    _write(tmp_path, "pair_stats", "pair", ["1>2", "1>2"], weight=[1.0, 7.0])
    _write(tmp_path, "zone_hour_stats", "zone_hour", ["*|001"], weight=[3.0])
    found = DayRows(statistics_of(tmp_path), {}).lookup([("pair", "1>2"), ("pair", "2>1"), ("zone", "1")])
    start = RowLayout(VIEWS).offsets["pair_stats"]
    assert found.missing == []
    assert found.rows[0, start : start + 2].tolist() == [0.0, 7.0]
    assert np.isnan(found.rows[1:]).all()


def test_without_tables_it_says_who_writes_them(tmp_path: Path) -> None:
    """The message names the file and the verb."""
    with pytest.raises(NotFound, match="tandem train"):
        statistics_of(tmp_path)


def test_live_windows_hold_what_has_ended_and_no_more(tmp_path: Path) -> None:
    """At any moment the city's last hour counts the rides that ended in it, whatever comes later."""
    city = City.from_wheel(small_wheel(tmp_path / "city.whl"))
    world = World.draw(city, Scenario(scale=2.0, hours=(8.0, 9.0)), seed=1)
    frame = city.zones.frame()
    names = (tuple(frame[column]) for column in ("zone", "name", "borough"))
    zones = Zones(*names, lat=frame["lat"].to_numpy(), lon=frame["lon"].to_numpy())
    rows = DayRows({}, live_windows(world, zones, {}))
    place = RowLayout(VIEWS).offsets["city_live"]
    count = place + 1 + next(view for view in VIEWS if view.name == "city_live").features.index("count_60m")
    ends_s = world.requests.at_s + world.requests.ride_s
    for hour in (8.0, 8.5, 9.0):
        rows.now = world.scenario.midnight + 3600 * hour
        (row,) = rows.lookup([("city", CITY)]).rows
        ended = int(((ends_s > 3600 * (hour - 1)) & (ends_s <= 3600 * hour)).sum())
        assert row[place] <= rows.now
        assert row[count] == pytest.approx(ended, abs=2)  # windows move by steps of ten seconds


def _write(home: Path, name: str, entity: str, keys: list[str], weight: list[float]) -> None:
    view = next(view for view in VIEWS if view.name == name)
    times = pd.date_range("2018-03-01", periods=len(keys), freq="D", tz="UTC")
    values = dict.fromkeys(view.features, weight)
    path = Layout(home).features / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame({entity: keys, "event_timestamp": times, **values}).to_parquet(path)
