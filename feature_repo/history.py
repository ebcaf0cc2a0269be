"""From completed trips to the history of every view: what would have been written, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from contracts.distance import haversine_m, typical_log_s
from contracts.features import (
    ANY,
    DAY_PARTS,
    LONG_GRID_S,
    LONG_REPEAT_S,
    LONG_WINDOWS_S,
    SHORT_GRID_S,
    SHORT_WINDOWS_S,
    STATISTICS_TTL_S,
)
from contracts.local_time import DAY_S, HOUR_S, HOURS_A_WEEK, Ints, LocalTime, hour_of_week, local_time
from contracts.schema import Floats
from contracts.transforms import day_part, reference_log_s
from contracts.trips import CITY, CITY_TZ
from contracts.zones import Positions, Zones, pair_key
from feature_repo.snapshots import Snapshots, daily_snapshots, mean_of
from feature_repo.trip_values import MAX_LOG_RATIO, log_ratios, window_values
from feature_repo.windows import MICRO, WindowRows, window_rows

Codes = npt.NDArray[np.intp]
EVENT_TIME = "event_timestamp"

_PAIR_MAX_AGE_DAYS = STATISTICS_TTL_S / DAY_S


@dataclass(frozen=True)
class Ended:
    """Completed trips [n] in the order of their ends."""

    zones: Zones
    pickup: Positions
    dropoff: Positions
    ended_us: Ints
    day: Ints  # local, of the end
    week_hour: Ints  # local, of the start
    part: Codes  # of the day, at the start
    distance_m: Floats
    duration_s: Floats

    @cached_property
    def log_excess(self) -> Floats:
        """ln(duration / what is typical for the distance) [n]."""
        excess = np.log(self.duration_s) - typical_log_s(self.distance_m)
        return np.clip(excess, -MAX_LOG_RATIO, MAX_LOG_RATIO)


def ended_trips(trips: pd.DataFrame, zones: Zones, clock: LocalTime | None = None) -> Ended:
    """Read a canonical trip frame; raises NotFound for a zone that the city does not have."""
    clock = clock or local_time(CITY_TZ)
    trips = trips.sort_values(["dropoff_at", "trip_id"], kind="stable")
    ended_us = trips["dropoff_at"].dt.as_unit("us").astype("int64").to_numpy()
    pickup, dropoff = zones.positions(trips["pickup_zone"]), zones.positions(trips["dropoff_zone"])
    started = clock.seconds(trips["pickup_at"].dt.as_unit("us").astype("int64").to_numpy() / MICRO)
    return Ended(
        zones=zones,
        pickup=pickup,
        dropoff=dropoff,
        ended_us=ended_us,
        day=clock.day(ended_us / MICRO),
        week_hour=hour_of_week(started),
        part=day_part((started % DAY_S // HOUR_S).astype(np.int64)),
        distance_m=haversine_m(zones.lat[pickup], zones.lon[pickup], zones.lat[dropoff], zones.lon[dropoff]),
        duration_s=trips["duration_s"].to_numpy(dtype=np.float64),
    )


@dataclass(frozen=True)
class PairHistory:
    """Snapshots by pair, and by zone from or to anywhere."""

    names: npt.NDArray[np.object_]  # by code
    pair: Codes  # of each trip [n]
    outbound: Codes
    inbound: Codes
    snapshots: Snapshots


def pair_history(ended: Ended) -> PairHistory:
    """Statistics of how long pairs take beyond what is typical for their distance, whole and by part of the day."""
    anywhere = len(ended.zones.ids)
    wide = anywhere + 1
    pairs = ended.pickup * wide + ended.dropoff
    outbound, inbound = ended.pickup * wide + anywhere, anywhere * wide + ended.dropoff
    present, code = np.unique(np.concatenate([pairs, outbound, inbound]), return_inverse=True)
    ids = (*ended.zones.ids, ANY)
    names = np.array([pair_key(ids[a], ids[b]) for a, b in zip(*divmod(present, wide), strict=True)], dtype=object)
    x = ended.log_excess
    values = np.zeros((len(x), 3 + 2 * len(DAY_PARTS)))
    values[:, 0], values[:, 1], values[:, 2] = 1.0, x, x * x
    rows = np.arange(len(x))
    values[rows, 3 + 2 * ended.part] = 1.0
    values[rows, 4 + 2 * ended.part] = x
    snapshots = daily_snapshots(code, np.tile(ended.day, 3), np.tile(values, (3, 1)), len(present))
    pair, out, into = np.split(code, 3)
    return PairHistory(names, pair, out, into, snapshots)


def reference_of(ended: Ended, pairs: PairHistory) -> Floats:
    """Natural log of the reference duration [n] in seconds that was in force at the midnight before each trip's end."""
    stats = {}
    for role, code in (("pair", pairs.pair), ("outbound", pairs.outbound), ("inbound", pairs.inbound)):
        sums = pairs.snapshots.as_of(code, ended.day, _PAIR_MAX_AGE_DAYS)
        stats[f"{role}.weight"] = sums[:, 0]
        stats[f"{role}.log_excess"] = mean_of(sums[:, 1], sums[:, 0])
    return reference_log_s(ended.distance_m, stats)


def log_ratio_of(ended: Ended, pairs: PairHistory) -> Floats:
    """ln(duration / reference) [n]."""
    return log_ratios(ended.duration_s, reference_of(ended, pairs))


def pair_table(pairs: PairHistory, clock: LocalTime) -> pd.DataFrame:
    """The view pair_stats."""
    sums = pairs.snapshots.sums
    weight = sums[:, 0]
    mean = mean_of(sums[:, 1], weight)
    spread = np.sqrt(np.maximum(mean_of(sums[:, 2], weight) - mean * mean, 0.0))
    columns = {"weight": weight, "log_excess": mean, "spread": np.where(weight > 1, spread, np.nan)}
    for i, part in enumerate(DAY_PARTS):
        columns[f"weight_{part}"] = sums[:, 3 + 2 * i]
        columns[f"log_excess_{part}"] = mean_of(sums[:, 4 + 2 * i], sums[:, 3 + 2 * i])
    return _table("pair", pairs.names[pairs.snapshots.key], _midnights(clock, pairs.snapshots.day), columns)


def zone_hour_table(ended: Ended, log_ratio: Floats, clock: LocalTime) -> pd.DataFrame:
    """The view zone_hour_stats: trips that started or ended in the zone, or anywhere, by the hour of their start."""
    zone, row = _touched(ended, anywhere=True)
    code = zone * HOURS_A_WEEK + ended.week_hour[row]
    values = np.stack([np.ones(len(row)), log_ratio[row]], axis=1)
    keys = (len(ended.zones.ids) + 1) * HOURS_A_WEEK
    snapshots = daily_snapshots(code, ended.day[row], values, keys)
    names = np.array([f"{z}|{hour:03d}" for z in (*ended.zones.ids, ANY) for hour in range(HOURS_A_WEEK)], dtype=object)
    weight = snapshots.sums[:, 0]
    columns = {"weight": weight, "log_ratio": mean_of(snapshots.sums[:, 1], weight)}
    return _table("zone_hour", names[snapshots.key], _midnights(clock, snapshots.day), columns)


def window_tables(ended: Ended, log_ratio: Floats) -> Iterator[tuple[str, pd.DataFrame]]:
    """The live and long views, a key at a time: (name of the view, its rows)."""
    values = window_values(log_ratio, ended.distance_m, ended.duration_s)
    yield from _windows_of("city", CITY, ended.ended_us, values, ended)
    zone, row = _touched(ended, anywhere=False)
    order = np.argsort(zone, kind="stable")
    bounds = np.searchsorted(zone[order], np.arange(len(ended.zones.ids) + 1))
    for i, name in enumerate(ended.zones.ids):
        of = np.sort(row[order[bounds[i] : bounds[i + 1]]])
        if len(of):
            yield from _windows_of("zone", name, ended.ended_us[of], values[of], ended)


def _windows_of(
    entity: str, key: str, ended_us: Ints, values: Ints, ended: Ended
) -> Iterator[tuple[str, pd.DataFrame]]:
    until = int(ended.ended_us[-1])
    yield f"{entity}_live", live_windows(entity, key, ended_us, values, until_us=until)
    repeat = LONG_REPEAT_S * MICRO
    lengths = [seconds * MICRO for seconds in LONG_WINDOWS_S.values()]
    rows = window_rows(ended_us, values, lengths, grid=LONG_GRID_S * MICRO, until=until, repeat=repeat)
    yield f"{entity}_long", _window_table(entity, key, rows, LONG_WINDOWS_S)


def live_windows(entity: str, key: str, ended_us: Ints, values: Ints, *, until_us: int) -> pd.DataFrame:
    """The live view's rows of one key, from its trips [n] in the order of their ends and what each adds [n, 2]."""
    lengths = [seconds * MICRO for seconds in SHORT_WINDOWS_S.values()]
    rows = window_rows(ended_us, values, lengths, grid=SHORT_GRID_S * MICRO, until=until_us)
    return _window_table(entity, key, rows, SHORT_WINDOWS_S)


def _window_table(entity: str, key: str, rows: WindowRows, windows: dict[str, int]) -> pd.DataFrame:
    means = rows.means()
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for w, name in enumerate(windows):
        columns[f"count_{name}"] = rows.counts[:, w].astype(np.float64)
        columns[f"log_ratio_{name}"] = means[:, w, 0]
        columns[f"speed_kmh_{name}"] = means[:, w, 1]
    return _table(entity, np.full(len(rows.at), key, dtype=object), rows.at, columns)


def _touched(ended: Ended, *, anywhere: bool) -> tuple[Codes, Codes]:
    """(zone, trip) for each zone that a trip touched, once where it stayed in one; `anywhere` is one more zone."""
    rows = np.arange(len(ended.pickup))
    moved = np.flatnonzero(ended.pickup != ended.dropoff)
    zone, row = [ended.pickup, ended.dropoff[moved]], [rows, moved]
    if anywhere:
        zone.append(np.full(len(rows), len(ended.zones.ids), dtype=np.intp))
        row.append(rows)
    return np.concatenate(zone), np.concatenate(row)


def _midnights(clock: LocalTime, day: Ints) -> Ints:
    days, place = np.unique(day, return_inverse=True)
    return np.rint(clock.midnight(days) * MICRO).astype(np.int64)[place]


def _table(entity: str, keys: npt.NDArray[np.object_], at_us: Ints, columns: dict[str, Floats]) -> pd.DataFrame:
    times = pd.to_datetime(at_us, unit="us", utc=True)
    return pd.DataFrame({entity: keys, EVENT_TIME: times, **columns}, copy=False)
