"""Our join against Feast's own, row by row, over the tables of a real build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast import FeatureService

from adapters.trips_file import trips_writer, write_zones
from contracts.features import LOOKUPS, VIEWS
from contracts.transforms import trip_keys
from feature_repo.store import open_store
from pipelines.layout import Layout
from pipelines.materialize import build, tables
from tests.some_trips import ZONES, some_trips, zone_frame
from training.dataset import epoch_s, point_in_time_join


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with six weeks of thin traffic: windows that empty, pairs that go quiet, snapshots that expire."""
    home = tmp_path_factory.mktemp("home")
    layout = Layout(home)
    trips = pd.concat([some_trips(400, days=40), some_trips(300, days=2, seed=1)], ignore_index=True)
    trips["trip_id"] = [f"t{i}" for i in range(len(trips))]
    with trips_writer(layout.trips, "drawn for a test") as write:
        write(trips.sort_values(["pickup_at", "trip_id"], ignore_index=True))
    write_zones(layout.zones, zone_frame(ZONES), "drawn for a test")
    build(home)
    return home


def test_equals_feasts_historical_features(home: Path) -> None:
    """Every looked-up column of every trip is what `get_historical_features` finds, absent where it finds none."""
    trips = pd.read_parquet(Layout(home).trips).sample(150, random_state=5).reset_index(drop=True)
    ours = point_in_time_join(trips, tables(home))

    store = open_store(home, redis_url=None)
    keys = trip_keys(trips["pickup_zone"].tolist(), trips["dropoff_zone"].tolist(), epoch_s(trips["pickup_at"]))
    asked = pd.DataFrame({**keys, "trip": np.arange(len(trips)), "event_timestamp": trips["pickup_at"]})
    views = {view.name: view for view in VIEWS}
    projected = [
        store.get_feature_view(one.view)
        .with_name(f"{one.role}_{one.view}")
        .with_join_key_map({views[one.view].entity: one.role})
        for one in LOOKUPS
    ]
    service = FeatureService(name="eta", features=projected)
    store.apply([service])
    theirs = store.get_historical_features(entity_df=asked, features=service, full_feature_names=True).to_df()

    assert len(theirs) == len(trips) == len(ours)
    theirs = theirs.sort_values("trip").reset_index(drop=True)
    present = 0
    for one in LOOKUPS:
        for name in views[one.view].features:
            found = ours[f"{one.role}.{name}"].to_numpy()
            expected = theirs[f"{one.role}_{one.view}__{name}"].to_numpy(dtype=np.float64, na_value=np.nan)
            np.testing.assert_array_equal(found, expected, err_msg=f"{one.role}.{name}")
            present += int((~np.isnan(found)).sum())
    assert present > 1000
