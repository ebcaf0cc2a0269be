"""Twins of what needs a server, a model or a clock, and a tiny city to serve."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper

from adapters.artifact_store import (
    ETA_FILE,
    GOLDEN_FILE,
    HEURISTIC_FILE,
    ZONES_FILE,
    Artifact,
)
from adapters.online_store import RowLayout, Wanted
from adapters.onnx_session import INPUT, OUTPUTS, OnnxModel
from adapters.tables import Golden, write_golden, write_heuristic
from contracts.errors import Unavailable
from contracts.heuristic import PairMedian
from contracts.manifest import Lineage, ModelManifest, Parity, sha256
from contracts.schema import Feature, FeatureSchema, Floats, Lookup, Matrix, ViewSpec
from contracts.zones import Zones, pair_keys
from serving.trips import Trips

NOW = 1_800_000_000.0

VIEWS = (
    ViewSpec("city_live", "city", ("count",), 2400.0),
    ViewSpec("zone_live", "zone", ("count", "speed"), 2400.0),
    ViewSpec("zone_long", "zone", ("speed",), 93_600.0),
    ViewSpec("pair_stats", "pair", ("median_s",), 1e9),
)
LOOKUPS = (
    Lookup("city", "city_live"),
    Lookup("pickup", "zone_live"),
    Lookup("pickup", "zone_long"),
    Lookup("dropoff", "zone_live"),
    Lookup("pair", "pair_stats"),
)
_FEATURES = {view.name: view.features for view in VIEWS}
LOOKED_UP = tuple(f"{lookup.role}.{name}" for lookup in LOOKUPS for name in _FEATURES[lookup.view])
WIDTH = RowLayout(VIEWS).width
SCHEMA = FeatureSchema(
    "tiny",
    (
        Feature("distance_m", 0, 1e6),
        Feature("pair.median_s", 0, 1e5, nullable=True),
        Feature("pickup.speed", 0, 100, nullable=True),
    ),
)


@dataclass
class FakeClock:
    """A clock that stands still until told."""

    seconds: float = NOW

    def now(self) -> float:
        """Epoch seconds."""
        return self.seconds

    def monotonic(self) -> float:
        """The same seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.seconds += seconds


class TinyTrips:
    """The tiny model family: distance, the pair's median, the pickup's live speed."""

    schema = SCHEMA

    def keys(self, zones: Zones, trips: Trips) -> Mapping[str, Sequence[str]]:
        """Keys by role."""
        pickup, dropoff = [zones.ids[i] for i in trips.pickup], [zones.ids[i] for i in trips.dropoff]
        return {
            "city": ["nyc"] * len(pickup),
            "pickup": pickup,
            "dropoff": dropoff,
            "pair": pair_keys(pickup, dropoff),
        }

    def vectors(self, zones: Zones, trips: Trips, looked_up: Floats) -> Matrix:
        """Looked-up columns and the distance."""
        columns = dict(zip(LOOKED_UP, looked_up, strict=True)) | {"distance_m": _distance(zones, trips)}
        return SCHEMA.to_matrix(columns, len(trips.ids))

    def heuristic(self, heuristic: PairMedian, zones: Zones, trips: Trips) -> Floats:
        """The pair's median at noon."""
        pairs = list(self.keys(zones, trips)["pair"])
        return heuristic.predict(pairs, _distance(zones, trips), np.full(len(pairs), 12, dtype=np.intp))


@dataclass
class FakeStore:
    """An online store in a dictionary; it can be told to fail or to hang."""

    views: Sequence[ViewSpec] = VIEWS
    rows: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    error: Unavailable | None = None
    hangs: bool = False
    reads: list[Wanted] = field(default_factory=list)

    def put(self, view: str, key: str, event_time: float, *values: float) -> None:
        """Store the values of one view."""
        layout = RowLayout(self.views)
        entity = next(of.entity for of in self.views if of.name == view)
        row = self.rows.setdefault((entity, key), [math.nan] * layout.widths[entity])
        start = layout.offsets[view]
        row[start : start + 1 + len(values)] = [event_time, *values]

    async def read(self, wanted: Wanted) -> Floats:
        """Rows, NaN where there are none."""
        self.reads.append(list(wanted))
        if self.error:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        found = np.full((len(wanted), RowLayout(self.views).width), np.nan)
        for i, one in enumerate(wanted):
            row = self.rows.get(one, [])
            found[i, : len(row)] = row
        return found

    async def close(self) -> None:
        """Nothing to let go."""


def constant_onnx(width: int, eta_s: float) -> bytes:
    """A model that always says `eta_s`, low and high ∓20 %."""
    nodes = [
        helper.make_node("Shape", [INPUT], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "one"], ["shape"], axis=0),
        *(helper.make_node("Expand", [f"{name}_value", "shape"], [name]) for name in OUTPUTS),
    ]
    values = dict(zip(OUTPUTS, (eta_s, 0.8 * eta_s, 1.2 * eta_s), strict=True))
    constants = {f"{name}_value": np.array([[value]], dtype=np.float32) for name, value in values.items()}
    return _model(nodes, width, {**constants, "one": np.array([1], dtype=np.int64)})


def tiny_onnx(*, width: int = 3) -> bytes:
    """A model whose eta is 120 s and 0.25 s a metre of the first entry; low and high ∓20 %."""
    constants = {
        "w": np.array([[0.25]], dtype=np.float32),
        "b": np.array([120.0], dtype=np.float32),
        "lo": np.array([0.8], dtype=np.float32),
        "hi": np.array([1.2], dtype=np.float32),
        "first": np.array([0], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", [INPUT, "first"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["eta_s"]),
        helper.make_node("Mul", ["eta_s", "lo"], ["low_s"]),
        helper.make_node("Mul", ["eta_s", "hi"], ["high_s"]),
    ]
    return _model(nodes, width, constants)


def _model(nodes: list[onnx.NodeProto], width: int, constants: Mapping[str, npt.NDArray[Any]]) -> bytes:
    number = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [number(INPUT, TensorProto.FLOAT, [None, width])],
        [number(name, TensorProto.FLOAT, [None, 1]) for name in OUTPUTS],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def tiny_artifact(
    folder: Path, *, version: int = 1, schema: FeatureSchema = SCHEMA, model: bytes | None = None, nudge_s: float = 0.0
) -> Artifact:
    """An artifact of three zones in Manhattan; `nudge_s` makes its golden rows wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    width = len(schema.features)
    raw = tiny_onnx(width=width) if model is None else model
    matrix = np.full((4, width), np.nan, dtype=np.float32)
    matrix[:, :1] = [[500.0], [1000.0], [2000.0], [4000.0]]
    eta, low, high = OnnxModel(raw).run(matrix)
    write_golden(folder / GOLDEN_FILE, Golden(matrix, eta + np.float32(nudge_s), low, high), schema.names)
    write_heuristic(folder / HEURISTIC_FILE, PairMedian({"1>2": 600.0}, np.full(24, 5.0), 0.7, 1.5))
    write_tiny_zones(folder / ZONES_FILE)
    files = {name: (folder / name).read_bytes() for name in (GOLDEN_FILE, HEURISTIC_FILE, ZONES_FILE)} | {ETA_FILE: raw}
    manifest = ModelManifest(
        model="eta",
        version=version,
        use_case="eta",
        schema_name=schema.name,
        schema_hash=schema.schema_hash(),
        feature_names=schema.names,
        inputs={INPUT: f"float32[-1,{width}]"},
        outputs=dict.fromkeys(OUTPUTS, "float32[-1,1]"),
        metrics={"mae_s": 1.0},
        parity=Parity(rows=1, max_abs_diff_s=0.0, branch_flips=0),
        lineage=Lineage("0" * 40, {}, "run", "2026-01-01T00:00:00Z", ("2026-01-01", "2026-02-01")),
        files={name: sha256(content) for name, content in files.items()},
    )
    return Artifact(manifest, files)


def write_tiny_zones(path: Path) -> None:
    """Two squares side by side, and a zone of which only the point is known."""
    rows = {
        "zone": ["1", "2", "3"],
        "name": ["West", "East", "Island"],
        "borough": ["Manhattan", "Manhattan", "Queens"],
        "lat": [40.755, 40.755, 40.80],
        "lon": [-73.985, -73.975, -73.92],
        "polygon": [_square(-73.99, 40.75), _square(-73.98, 40.75), None],
    }
    pq.write_table(pa.table(rows), path)


def _square(lon: float, lat: float, size: float = 0.01) -> str:
    corners = [(lon, lat), (lon + size, lat), (lon + size, lat + size), (lon, lat + size), (lon, lat)]
    return f"POLYGON (({', '.join(f'{x} {y}' for x, y in corners)}))"


def _distance(zones: Zones, trips: Trips) -> Floats:
    metres: Floats = np.hypot(
        (zones.lat[trips.pickup] - zones.lat[trips.dropoff]) * 111_320,
        (zones.lon[trips.pickup] - zones.lon[trips.dropoff]) * 84_000,
    )
    return metres
