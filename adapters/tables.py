"""The tables that travel with a model, as Parquet: zones, the heuristic, golden rows.

Each reader takes a path, or the bytes of a file whose hash has been verified. Floats come back bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import DataRefused, NotFound, SchemaMismatch
from contracts.heuristic import HOURS, PairMedian
from contracts.schema import Floats, Matrix
from contracts.trips import ZONE_COLUMNS
from contracts.zones import Zones

_GOLDEN_OUTPUTS = ("eta_s", "low_s", "high_s")


@dataclass(frozen=True)
class Golden:
    """Vectors float32 [n, F] and what the model answered to them when it was made, float32 [n] seconds."""

    matrix: Matrix
    eta_s: npt.NDArray[np.float32]
    low_s: npt.NDArray[np.float32]
    high_s: npt.NDArray[np.float32]


def read_zones(source: Path | bytes) -> Zones:
    """Zones in the file's order; polygons stay in the file (`read_polygons`)."""
    table = _table(source, tuple(ZONE_COLUMNS), "zones")
    return Zones(
        ids=tuple(table["zone"].to_pylist()),
        names=tuple(table["name"].to_pylist()),
        boroughs=tuple(table["borough"].to_pylist()),
        lat=_numbers(table["lat"]),
        lon=_numbers(table["lon"]),
    )


def read_polygons(source: Path | bytes) -> list[str | None]:
    """WKT (WGS 84) of each zone in the order of `read_zones`; None where only a point is known."""
    polygons: list[str | None] = _table(source, ("polygon",), "zones")["polygon"].to_pylist()
    return polygons


def write_heuristic(path: Path, heuristic: PairMedian) -> None:
    """One row a number: kind pair (key ``74>138``, s), speed (key ``00``..``23``, m/s), factor (key low or high)."""
    rows = [("pair", pair, seconds) for pair, seconds in sorted(heuristic.median_s.items())]
    rows += [("speed", f"{hour:02d}", float(speed)) for hour, speed in enumerate(heuristic.speed_mps)]
    rows += [("factor", "low", heuristic.low_factor), ("factor", "high", heuristic.high_factor)]
    kinds, keys, values = zip(*rows, strict=True)
    pq.write_table(pa.table({"kind": list(kinds), "key": list(keys), "value": list(values)}), path)


def read_heuristic(source: Path | bytes) -> PairMedian:
    """Read what `write_heuristic` wrote; raises SchemaMismatch where a number is missing."""
    table = _table(source, ("kind", "key", "value"), "heuristic")
    columns = (table[name].to_pylist() for name in ("kind", "key", "value"))
    by_kind: dict[str, dict[str, float]] = {"pair": {}, "speed": {}, "factor": {}}
    for kind, key, value in zip(*columns, strict=True):
        by_kind.setdefault(kind, {})[key] = value
    expected = {"speed": [f"{hour:02d}" for hour in range(HOURS)], "factor": ["high", "low"]}
    for kind, keys in expected.items():
        if sorted(by_kind[kind]) != keys:
            raise SchemaMismatch(f"heuristic's {kind} rows", str(sorted(by_kind[kind])), str(keys))
    speed = np.array([by_kind["speed"][f"{hour:02d}"] for hour in range(HOURS)])
    return PairMedian(by_kind["pair"], speed, by_kind["factor"]["low"], by_kind["factor"]["high"])


def write_golden(path: Path, golden: Golden, names: Sequence[str]) -> None:
    """One float32 column an entry of the vector, in order, then the expected outputs."""
    columns = {name: golden.matrix[:, i] for i, name in enumerate(names)}
    columns |= {name: getattr(golden, name) for name in _GOLDEN_OUTPUTS}
    # Not NaN to null: both a NaN and its place are part of the row.
    pq.write_table(pa.table({name: pa.array(column, from_pandas=False) for name, column in columns.items()}), path)


def read_golden(source: Path | bytes, names: Sequence[str]) -> Golden:
    """Read what `write_golden` wrote; raises SchemaMismatch where its columns are not these names in this order."""
    table = _table(source, _GOLDEN_OUTPUTS, "golden rows")
    entries = table.column_names[: -len(_GOLDEN_OUTPUTS)]
    if entries != list(names):
        raise SchemaMismatch("golden rows", str(entries), str(list(names)))
    matrix = np.column_stack([_numbers(table[name]) for name in names]).astype(np.float32, order="C")
    return Golden(matrix, *(_numbers(table[name]).astype(np.float32) for name in _GOLDEN_OUTPUTS))


def _numbers(column: Any) -> Floats:
    # Not to_numpy(), nor read_table(): both import pandas, which a replica has no other use for (0.5 s and 40 MB).
    return np.array(column.to_pylist(), dtype=np.float64)


def _table(source: Path | bytes, columns: Sequence[str], thing: str) -> Any:
    try:
        table = pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else source).read()
    except FileNotFoundError as error:
        raise NotFound(f"file of {thing}", str(source), "`tandem data` and `tandem train` write it") from error
    except (pa.ArrowException, OSError) as error:
        name = thing if isinstance(source, bytes) else str(source)
        raise DataRefused(name, f"not a Parquet file, or damaged ({error})") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise SchemaMismatch(thing, f"no {', '.join(missing)}", f"columns {', '.join(columns)}")
    return table
