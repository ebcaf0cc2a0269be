"""The whole stack over a broker that a suite may break, with features built from drawn trips and the store filled."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from adapters.artifact_store import ETA_FILE, ZONES_FILE
from adapters.outbox import Outbox
from adapters.prediction_segments import SegmentReader
from adapters.segment_folder import segments
from adapters.tables import read_zones
from adapters.trips_file import trips_writer
from adapters.window_cells import RedisWindowCells
from bench.broker import Broker
from bench.event_source import Cell, EventSource
from bench.ports import free_port
from bench.rows import tandem
from bench.rows.protocol import Site
from bench.server import running
from bench.suite import Bench
from bench.wire import EtaTrips
from contracts.distance import haversine_m
from contracts.events import TRIPS_ENDED
from contracts.trips import TRIP_COLUMNS
from contracts.zones import Zones
from feature_repo.store import open_store
from pipelines.layout import Layout
from pipelines.materialize import build, materialize
from pipelines.stack import Stack

READY_S = 180.0
TRIPS, DAYS = 20_000, 21.0
COUNT = "city_count_60m"


@dataclass(frozen=True)
class LiveStack:
    """A stack that answers, its broker, and the cities' zones."""

    broker: Broker
    site: Site
    home: Path
    zones: Zones
    source: EventSource
    outbox: Outbox

    @property
    def address(self) -> tuple[str, int]:
        """Where the front listens."""
        return self.site.host, self.site.port

    def consumer(self) -> int:
        """The pid of the stream's consumer."""
        return int(Stack(self.home).read_record()["components"]["stream"]["pid"])

    def drained(self, limit_s: float) -> float | None:
        """Seconds until nothing waits, in the outbox or in the topic; None where something still does."""
        begun = time.monotonic()
        while time.monotonic() - begun < limit_s:
            try:
                if not self.outbox.waiting() and not self.broker.lag(TRIPS_ENDED):
                    return time.monotonic() - begun
            except Exception:  # noqa: BLE001 - a broker that is away has not drained
                time.sleep(0.1)
            time.sleep(0.05)
        return None

    def cells(self) -> Counter[Cell]:
        """What the windows have counted, by key and cell."""
        keys = list(dict.fromkeys((entity, key) for entity, key, _ in self.source.cells))
        reader = RedisWindowCells(self.broker.at.url)
        found: Counter[Cell] = Counter()
        for (entity, key), cells in zip(keys, reader.read(keys), strict=True):
            found.update({(entity, key, cell): count for cell, (count, *_) in cells.items()})
        reader.close()
        return found

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """When each answered request was, and how many trips of the last hour its features had: from the log."""
        times, counts = list[float](), list[float]()
        for path in segments(Layout(self.home).predictions):
            with path.open("rb") as file:
                segment = SegmentReader(file)
                for record in segment:
                    if segment.head and record.features:
                        times.append(record.at)
                        counts.append(float(record.matrix(record.features)[0, segment.head.features.index(COUNT)]))
        order = np.argsort(times)
        return np.array(times)[order], np.array(counts)[order]


@contextmanager
def live_stack(bench: Bench) -> Iterator[LiveStack]:
    """Start all of it, and stop it after."""
    folder = bench.scratch.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker(folder / "broker")
    site = Site(
        bin=Path(sys.executable).parent,
        model=(bench.artifact / ETA_FILE).resolve(),
        port=free_port(),
        scratch=folder,
        aside=free_port(),
        redis_url=broker.at.url,
    )
    tandem.prepare(site)
    home = Path(tandem.variables(site)["TANDEM_HOME"]).resolve()
    zones = _features(home, bench.artifact)
    broker.start()
    try:
        with running(
            tandem.command(site), tandem.variables(site), cpus=(0, 1), log=folder / "tandem.log", stop_signal=15
        ) as server:
            try:
                materialize(home, open_store(home, redis_url=broker.at.url), datetime.now(UTC))
                body = EtaTrips().body([{"pickup": {"zone": zones.ids[0]}, "dropoff": {"zone": zones.ids[1]}}])
                server.wait_ready((site.host, site.port), EtaTrips().path, body, READY_S)
                outbox = Outbox(Layout(home).outbox)
                yield LiveStack(broker, site, home, zones, EventSource(zones.ids), outbox)
                outbox.close()
            finally:
                server.stop(grace_s=45.0)
                shutil.rmtree(Stack(home).sockets, ignore_errors=True)
    finally:
        broker.kill()


def visible(ended_us: Sequence[int], before: int, times: np.ndarray, counts: np.ndarray) -> dict[str, float | int]:
    """From ends (µs, ascending) to the first answer whose features had so many trips; `before` were there already."""
    known = ~np.isnan(counts)
    times, counts = times[known], np.maximum.accumulate(counts[known])
    first = np.searchsorted(counts, before + 1 + np.arange(len(ended_us)), side="left")
    there = first < len(counts)
    took = times[first[there]] - np.array(ended_us)[there] / 1e6
    figures = {f"p{q}_s": round(float(np.percentile(took, q)), 2) if len(took) else np.nan for q in (50, 99, 100)}
    return {**figures, "never_seen": int((~there).sum())}


def _features(home: Path, artifact: Path) -> Zones:
    """Build a home's feature tables from drawn trips between the artifact's zones."""
    layout, zones = Layout(home), read_zones(artifact / ZONES_FILE)
    layout.zones.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(artifact / ZONES_FILE, layout.zones)
    rng = np.random.default_rng(3)
    pickup, dropoff = rng.integers(len(zones.ids), size=(2, TRIPS))
    end = pd.Timestamp.now("UTC") - pd.Timedelta(hours=2)
    pickup_at = end - pd.to_timedelta(np.sort(rng.uniform(3600, DAYS * 86_400, TRIPS))[::-1], unit="s")
    distance_m = haversine_m(zones.lat[pickup], zones.lon[pickup], zones.lat[dropoff], zones.lon[dropoff])
    duration_s = np.clip(np.rint(120 + distance_m / 5 * rng.lognormal(0, 0.3, TRIPS)), 60, 3500)
    frame = pd.DataFrame(
        {
            "trip_id": [f"drawn-{i}" for i in range(TRIPS)],
            "pickup_at": pickup_at.as_unit("us"),
            "dropoff_at": (pickup_at + pd.to_timedelta(duration_s, unit="s")).as_unit("us"),
            "pickup_zone": np.array(zones.ids)[pickup],
            "dropoff_zone": np.array(zones.ids)[dropoff],
            "duration_s": duration_s,
        }
    )
    frame = frame.assign(**{name: np.nan for name in TRIP_COLUMNS if name not in frame})[list(TRIP_COLUMNS)]
    with trips_writer(layout.trips, "drawn for a benchmark") as write:
        write(frame)
    build(home)
    return zones
