"""The offline store's part of what was served live: hours of counted trips become rows of the live views' tables.

`python -m pipelines.live_history` writes every hour whose trips are all there to ``features/<view>.<hour>.parquet``, by
the definitions that history is built with. The live views' tables are all of these files; a row that `build` has as
well is the same one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from adapters.trip_log_files import forget_hour, logged_hours, read_trips
from contracts.counted_trips import CountedTrip
from contracts.features import LIVE_VIEWS, VIEWS
from contracts.trips import CITY
from feature_repo.history import EVENT_TIME, live_windows
from feature_repo.live import KEPT_US, LONGEST_US
from feature_repo.windows import MICRO
from pipelines.feature_tables import feature_tables
from pipelines.layout import Layout
from serving.settings import load_settings

HOUR_US: Final = 3_600_000_000
SETTLED_US: Final = LONGEST_US + 300 * MICRO
"""A trip counts that ended up to the longest window ago; the rest is for what is under way."""

_HISTORY_UNTIL: Final = "history_until_us"
_NICENESS: Final = 19
_DAY_US: Final = 24 * HOUR_US


def due_hours(folder: Path, now_us: int) -> list[int]:
    """Hours (since the epoch) of a trip log that no trip can be added to any more."""
    return [hour for hour in logged_hours(folder) if (hour + 1) * HOUR_US + SETTLED_US <= now_us]


def compact(home: Path, now_us: int, *, keep_days: int) -> dict[str, Any]:
    """Write the rows of every hour that is due, then forget trips that no window needs and files over the age.

    An hour has the rows after its start and up to its end, which hold trips of the hour before as well. Killed
    anywhere, the next call writes the same files. A home without feature tables has no offline store to write to: its
    log waits for one until it is over the age.
    """
    layout, done = Layout(home), {"hours": 0, "rows": 0, "expired": 0}
    for hour in logged_hours(layout.counted_trips):
        if hour * HOUR_US + keep_days * _DAY_US < now_us:
            forget_hour(layout.counted_trips, hour)
            done["expired"] += 1
    if not layout.features.is_dir():
        return done
    due = due_hours(layout.counted_trips, now_us)
    # What follows the last trip is written, too: windows that empty. So the hour after each counts as one of them.
    settled = {hour + 1 for hour in due if (hour + 2) * HOUR_US + SETTLED_US <= now_us}
    for hour in sorted(settled.union(due)):
        if _missing(layout.features, hour):
            done["rows"] += _write_hour(layout, hour)
            done["hours"] += 1
    for hour in due:
        if (hour + 2) * HOUR_US + max(SETTLED_US, KEPT_US) <= now_us and not _missing(layout.features, hour + 1):
            forget_hour(layout.counted_trips, hour)
    for path in _files(layout.features, "*"):
        if _hour_of(path) * HOUR_US + keep_days * _DAY_US < now_us:
            path.unlink()
            done["expired"] += 1
    return done


def drop_hours(features: Path, until_us: int) -> int:
    """Delete the hours that history, built anew from trips, reaches into, for good; returns how many files."""
    (features / _HISTORY_UNTIL).write_text(str(until_us))
    covered = [path for path in _files(features, "*") if _hour_of(path) * HOUR_US < until_us]
    for path in covered:
        path.unlink()
    return len(covered)


def hour_rows(trips: Sequence[CountedTrip], first_us: int, until_us: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """The live views' rows after one moment and up to another, a key at a time: (name of the view, rows)."""
    trips = sorted(trips, key=lambda trip: trip.ended_us)
    ended_us = np.array([trip.ended_us for trip in trips], dtype=np.int64)
    values = np.array([(trip.log_ratio, trip.speed) for trip in trips], dtype=np.int64).reshape(-1, 2)
    touched: dict[tuple[str, str], list[int]] = {}
    for i, trip in enumerate(trips):
        for place in dict.fromkeys((("city", CITY), ("zone", trip.pickup_zone), ("zone", trip.dropoff_zone))):
            touched.setdefault(place, []).append(i)
    for (entity, key), of in touched.items():
        rows = live_windows(entity, key, ended_us[of], values[of], until_us=until_us)
        yield f"{entity}_live", rows[rows[EVENT_TIME] > pd.Timestamp(first_us, unit="us", tz="UTC")]


def _write_hour(layout: Layout, hour: int) -> int:
    first_us, until_us = hour * HOUR_US, (hour + 1) * HOUR_US
    trips = list(read_trips(layout.counted_trips, first_us - LONGEST_US - MICRO, until_us))
    views = [view for view in VIEWS if view.name in LIVE_VIEWS]
    paths = {view.name: _path(layout.features, view.name, hour) for view in views}
    with feature_tables({view: paths[view.name] for view in views}) as tables:
        for name, rows in hour_rows(trips, first_us, until_us):
            tables[name].write(rows)
    return sum(table.rows for table in tables.values())


def _missing(features: Path, hour: int) -> bool:
    """Whether an hour is to be written: history does not reach into it, and its files are not there."""
    until = features / _HISTORY_UNTIL
    after_us = int(until.read_text()) if until.exists() else 0
    return hour * HOUR_US >= after_us and not all(_path(features, view, hour).exists() for view in LIVE_VIEWS)


def _path(features: Path, view: str, hour: int) -> Path:
    return features / f"{view}.{datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%dT%H}.parquet"


def _files(features: Path, hour: str) -> list[Path]:
    return [path for view in LIVE_VIEWS for path in features.glob(f"{view}.{hour}.parquet")]


def _hour_of(path: Path) -> int:
    moment = datetime.strptime(path.name.split(".")[1], "%Y-%m-%dT%H").replace(tzinfo=UTC)
    return round(moment.timestamp()) // 3600


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m pipelines.live_history [--home DIR]`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.live_history", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("TANDEM_HOME", ".tandem")))
    home = parser.parse_args(argv).home.resolve()
    os.nice(_NICENESS)  # answering comes first
    done = compact(home, round(time.time() * MICRO), keep_days=load_settings(os.environ).live_history_days)
    sys.stdout.write(json.dumps({"live_history": done}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
