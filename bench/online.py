"""Table B's ground: a real Valkey that Feast has filled, and trips whose features are all in it."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adapters.artifact_store import ZONES_FILE
from adapters.onnx_session import OnnxModel
from adapters.tables import read_zones
from adapters.valkey import EmbeddedValkey, embedded_valkey
from bench.exercise import Exercise
from bench.feast_views import feature_store, on_valkey
from bench.vectors import POOL
from contracts.features import ANY, LIVE_VIEWS, LOOKED_UP, LOOKUPS, VIEWS
from contracts.schema import Floats, ViewSpec
from contracts.transforms import trip_keys, trip_vectors
from contracts.trips import CITY
from contracts.zones import Zones, pair_key

MIN_DISTINCT = 10_000
AHEAD_S = (30.0, 600.0)  # when the trips start, from now: well inside every view's TTL
HOURS_A_WEEK = 168
_TYPICAL = {"count": (5, 60), "weight": (5, 60), "speed": (12, 30), "spread": (0.2, 0.4)}


@dataclass(frozen=True)
class Online:
    """A running Valkey, the folder of a Feast repository over it, and every value that was written."""

    url: str
    repository: Path
    zones: Zones
    values: Mapping[str, pd.DataFrame]  # by view; the index is the key
    store: Any
    socket_url: str = ""
    pid: int = 0

    def refresh(self) -> None:
        """Write the live views anew, stamped now: a benchmark lasts longer than their TTL."""
        for name in LIVE_VIEWS:
            self.write(name)

    def write(self, name: str, store: Any = None) -> None:
        """Let Feast write a view, into its own store or another."""
        (view,) = [view for view in VIEWS if view.name == name]
        frame = self.values[name].rename_axis(view.entity).reset_index()
        (store or self.store).write_to_online_store(name, frame.assign(event_timestamp=datetime.now(UTC)))

    def exercise(self, model: OnnxModel, seed: int) -> Exercise:
        """Distinct trips of the next minutes, with the estimates that these values lead to."""
        rng = np.random.default_rng(seed)
        pickup, dropoff = rng.integers(len(self.zones.ids), size=(2, POOL))
        at = np.round(time.time() + rng.uniform(*AHEAD_S, POOL), 3)
        origins, destinations = [self.zones.ids[i] for i in pickup], [self.zones.ids[i] for i in dropoff]
        keys = trip_keys(origins, destinations, at)
        looked_up = self._looked_up(keys)
        values = np.array([looked_up[name] for name in LOOKED_UP])
        expected_s = model.run(trip_vectors(self.zones, pickup, dropoff, at, values))[0]
        trips = [
            {"pickup": {"zone": a}, "dropoff": {"zone": b}, "at": datetime.fromtimestamp(t, UTC).isoformat()}
            for a, b, t in zip(origins, destinations, at.tolist(), strict=True)
        ]
        distinct = len(set(zip(origins, destinations, at.tolist(), strict=True)))
        if distinct < MIN_DISTINCT:
            raise ValueError(f"{distinct} distinct trips, at least {MIN_DISTINCT} are wanted")
        return Exercise(trips, expected_s)

    def _looked_up(self, keys: Mapping[str, Sequence[str]]) -> dict[str, Floats]:
        columns: dict[str, Floats] = {}
        for lookup in LOOKUPS:
            rows = self.values[lookup.view].reindex(pd.Index(keys[lookup.role]))
            columns |= {f"{lookup.role}.{name}": rows[name].to_numpy() for name in rows.columns}
        return columns


@contextmanager
def online(artifact: Path, folder: Path) -> Iterator[Online]:
    """Start a Valkey, apply a Feast repository and fill all views; stop the Valkey at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    zones = read_zones(artifact / ZONES_FILE)
    valkey = embedded_valkey(folder / "valkey", folder)
    with _running(valkey) as process:
        rng = np.random.default_rng(5)
        values = {view.name: _drawn(view, _keys(view.entity, zones.ids), rng) for view in VIEWS}
        store = feature_store(folder / "feast", on_valkey(valkey))
        filled = Online(valkey.url, folder / "feast", zones, values, store, valkey.socket_url, process.pid)
        for view in VIEWS:
            filled.write(view.name)
        yield filled


@contextmanager
def _running(valkey: EmbeddedValkey) -> Iterator[subprocess.Popen[bytes]]:
    valkey.configure()
    process = subprocess.Popen(valkey.command(), stdout=subprocess.DEVNULL, cwd=valkey.data, env=dict(os.environ))
    try:
        while not valkey.ready():
            if process.poll() is not None:
                raise OSError(f"Valkey exited with {process.returncode}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def _keys(entity: str, zones: Sequence[str]) -> list[str]:
    if entity == "city":
        return [CITY]
    if entity == "zone":
        return list(zones)
    everywhere = (*zones, ANY)
    if entity == "pair":
        return [pair_key(a, b) for a, b in itertools.product(everywhere, everywhere)]
    return [f"{zone}|{hour:03d}" for zone, hour in itertools.product(everywhere, range(HOURS_A_WEEK))]


def _drawn(view: ViewSpec, keys: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    columns = {}
    for name in view.features:
        low, high = _TYPICAL.get(name.split("_")[0], (-0.4, 0.4))
        columns[name] = rng.uniform(low, high, len(keys))
    return pd.DataFrame(columns, index=pd.Index(keys))
