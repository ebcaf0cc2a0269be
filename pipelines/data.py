"""Bring trips in: the Manhattan sample, or the TLC's own files."""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from tqdm import tqdm

from adapters.trips_file import file_sha256, trips_writer, write_zones
from adapters.wheel import fetch_wheel
from contracts.errors import InvalidInput
from simulation.city import City
from simulation.congestion import CongestionLaw
from simulation.sample import SOURCE, draw_trips

if TYPE_CHECKING:
    from pathlib import Path

PYHAILING: Final = ("pyhailing", "0.0.9", "1b904591a65d60336267d0a3d1d63e4c62b7ff27076aa7dbe21c666f8b1443d2")
SAMPLE_START: Final = date(2018, 4, 2)  # a Monday; six weeks without a holiday or a change of the clocks


def sample(
    home: Path,
    *,
    trips: int = 500_000,
    weeks: int = 6,
    start: date = SAMPLE_START,
    seed: int = 7,
    progress: bool = False,
) -> dict[str, Any]:
    """Draw trips from Manhattan's real demand and speeds into `home/data`.

    Args:
        home: TANDEM_HOME.
        trips: the expected number; the number drawn is Poisson.
        weeks: how many weeks of five business days.
        start: the first day, a Monday.
        seed: the same seed writes the same bytes.
        progress: whether to draw a progress bar on stderr.

    Returns:
        What was written: rows, days, rows dropped, hashes and paths.

    Raises:
        InvalidInput: an argument is out of bounds.
        Unavailable: the wheel with the aggregates can't be fetched.

    """
    if trips < 1 or weeks < 1:
        raise InvalidInput("trips" if trips < 1 else "weeks", f"{min(trips, weeks)}, expected at least 1")
    if start.weekday() != 0:
        raise InvalidInput("start", f"{start} is a {start:%A}, expected a Monday")
    trips_file, zones_file = home / "data" / "trips.parquet", home / "data" / "zones.parquet"
    with tqdm(total=4, desc="fetch the aggregates", disable=not progress, file=sys.stderr) as bar:
        wheel = fetch_wheel(*PYHAILING, cache=home / "cache")
        bar.update()
        bar.set_description("read the city")
        city = City.from_wheel(wheel)
        bar.update()
        bar.set_description("draw the trips")
        draw = draw_trips(city, trips=trips, weeks=weeks, start=start, seed=seed, law=CongestionLaw())
        bar.update()
        bar.set_description("write the files")
        source = f"{SOURCE}; {weeks} weeks from {start}, seed {seed}"
        write_zones(zones_file, city.zones.frame(), SOURCE)
        with trips_writer(trips_file, source) as append:
            append(draw.trips)
        bar.update()
    return {
        "source": source,
        "rows": len(draw.trips),
        "business_days": weeks * 5,
        "dropped": {"duration_outside_1_to_120_min": draw.outside_duration},
        "zones": len(city.zones.ids),
        "files": {str(path): file_sha256(path) for path in (trips_file, zones_file)},
    }
