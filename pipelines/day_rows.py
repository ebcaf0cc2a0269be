"""The online store of a simulated day, without a store: the home's statistics, and live windows over the day's trips.

What the platform would have seen end by then: every request's ride, as though it had begun at once. That does not
depend on the policy, so all of them know the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from adapters.online_store import RowLayout
from contracts.errors import NotFound
from contracts.features import ANY, LIVE_VIEWS, STATISTICS_TTL_S, VIEWS
from contracts.schema import Floats
from contracts.transforms import reference_log_s
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S
from contracts.zones import Zones, pair_key, pair_keys
from feature_repo.history import EVENT_TIME, ended_trips, window_tables
from feature_repo.trip_values import log_ratios
from pipelines.materialize import tables
from serving.cache import Key
from serving.cached_rows import Found
from simulation.world import World

_MICRO: Final = 1e6
Rows = Mapping[Key, Floats]
Windows = Mapping[Key, tuple[Floats, Floats]]
"""By (view, key): event times [r] (epoch seconds), ascending, and values [r, features]."""


class DayRows:
    """What a `FeatureReader` reads, as of the moment `now` (epoch seconds)."""

    def __init__(self, statistics: Rows, live: Windows) -> None:
        self._layout = RowLayout(VIEWS)
        self._width = max(self._layout.widths.values())
        self._statistics, self._live = statistics, live
        self._views = {view.entity: view.name for view in VIEWS if view.name in LIVE_VIEWS}
        self.now = 0.0

    def lookup(self, keys: Sequence[Key]) -> Found:
        """See features.Rows; nothing is ever missing."""
        rows = {key: self._row(key) for key in dict.fromkeys(keys)}
        return Found(np.array([rows[key] for key in keys]), [])

    async def fetch(self, keys: Sequence[Key], found: Found, within_s: float = np.inf) -> Floats:  # noqa: ARG002 - Rows
        """See features.Rows."""
        return found.rows

    def _row(self, key: Key) -> Floats:
        if (known := self._statistics.get(key)) is not None:
            return known
        row, view = np.full(self._width, np.nan), self._views.get(key[0], "")
        if (windows := self._live.get((view, key[1]))) is not None:
            at, values = windows
            last = int(np.searchsorted(at, self.now, side="right")) - 1
            if last >= 0:
                start = self._layout.offsets[view]
                row[start : start + 1 + values.shape[1]] = (at[last], *values[last])
        return row


def statistics_of(home: Path) -> Rows:
    """Each key's last statistics in the feature tables; raises NotFound where there are none.

    They count as known since ever: the simulated day is no day of theirs.
    """
    layout = RowLayout(VIEWS)
    width, rows = max(layout.widths.values()), dict[Key, Floats]()
    for table in tables(home):
        view = table.view
        if view.ttl_s < STATISTICS_TTL_S:
            continue
        if not table.path.is_file():
            raise NotFound("feature table", str(table.path), "`tandem train` builds the features")
        last = pd.read_parquet(table.path).sort_values(EVENT_TIME).drop_duplicates(view.entity, keep="last")
        start, values = layout.offsets[view.name], last[list(view.features)].to_numpy(dtype=np.float64)
        for key, of in zip(last[view.entity], values, strict=True):
            row = rows.setdefault((view.entity, key), np.full(width, np.nan))
            row[start : start + 1 + len(of)] = (0.0, *of)
    return rows


def live_windows(world: World, zones: Zones, statistics: Rows) -> Windows:
    """The live views over the rides of a day, as history would have them; `zones` are the simulated city's."""
    ended = ended_trips(_rides(world, zones), zones)
    origins, destinations = ([zones.ids[i] for i in end] for end in (ended.pickup, ended.dropoff))
    keys = {
        "pair": pair_keys(origins, destinations),
        "outbound": [pair_key(zone, ANY) for zone in origins],
        "inbound": [pair_key(ANY, zone) for zone in destinations],
    }
    start = RowLayout(VIEWS).offsets["pair_stats"] + 1
    at = {name: start + i for i, name in enumerate(("weight", "log_excess"))}
    absent = np.full(start + len(at), np.nan)
    stats = {
        f"{role}.{name}": np.array([statistics.get(("pair", key), absent)[place] for key in of])
        for role, of in keys.items()
        for name, place in at.items()
    }
    ratios = log_ratios(ended.duration_s, reference_log_s(ended.distance_m, stats))
    found: dict[Key, tuple[Floats, Floats]] = {}
    for name, frame in window_tables(ended, ratios):
        if name in LIVE_VIEWS and len(frame):
            view = next(view for view in VIEWS if view.name == name)
            moments = frame[EVENT_TIME].dt.as_unit("us").astype("int64").to_numpy() / _MICRO
            found[name, str(frame[view.entity].iloc[0])] = moments, frame[list(view.features)].to_numpy()
    return found


def _rides(world: World, zones: Zones) -> pd.DataFrame:
    requests, ids = world.requests, np.array(zones.ids, dtype=object)
    begin = pd.to_datetime(world.scenario.midnight + requests.at_s, unit="s", utc=True)
    rides = pd.DataFrame(
        {
            "trip_id": np.arange(len(requests)).astype(str),
            "pickup_at": begin,
            "dropoff_at": begin + pd.to_timedelta(requests.ride_s, unit="s"),
            "pickup_zone": ids[requests.pickup.zone],
            "dropoff_zone": ids[requests.dropoff.zone],
            "duration_s": requests.ride_s,
        }
    )
    return rides[rides["duration_s"].between(MIN_DURATION_S, MAX_DURATION_S)]
