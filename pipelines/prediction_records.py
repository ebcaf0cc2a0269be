"""Rows of the prediction log's Parquet as the records they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
import numpy as np

from contracts.predictions import HASH_CHARACTERS, Prediction, SegmentHead
from contracts.schema import Matrix
from pipelines.prediction_rows import AGE, ANSWERS, FEATURE, HEAD, MICRO, TIME, TYPES


def records(table: Any) -> Iterator[tuple[SegmentHead, Prediction]]:
    """Heads and records of a file's rows; the rows of a record lie together."""
    head = msgspec.json.decode(table.schema.metadata[HEAD], type=SegmentHead)
    columns: dict[str, list[Any]] = {}
    for name, kind in TYPES.items():
        column = table.column(name)
        columns[name] = (column.cast("int64") if kind == TIME else column).to_pylist()
    answers = _matrix(table, ANSWERS)
    features = _matrix(table, [FEATURE + name for name in head.features])
    ages = _matrix(table, [AGE + name for name in head.ages])
    keys = list(zip(*(columns[name] for name in ("request_id", "kind", "version", "ce_source", "at")), strict=True))
    for _, positions in groupby(range(len(keys)), key=keys.__getitem__):
        rows = list(positions)
        mine = {name: [values[row] for row in rows] for name, values in columns.items()}
        matrices = (_raw(answers, rows), _raw(features, rows), _raw(ages, rows))
        yield msgspec.structs.replace(head, source=mine["ce_source"][0]), _record(mine, *matrices)


def _record(columns: dict[str, list[Any]], answers: bytes, features: bytes, ages: bytes) -> Prediction:
    one = {name: values[0] for name, values in columns.items()}
    fallback = bytes(source == "fallback" for source in columns["source"])
    return Prediction(
        request_id=one["request_id"],
        at=one["at"] / MICRO,
        kind=one["kind"],
        unit=one["unit"],
        generation=one["generation"],
        version=one["version"],
        arm=one["arm"],
        schema_hash=one["schema_hash"][:HASH_CHARACTERS],
        ids=columns["id"],
        pickup=[] if one["pickup_zone"] is None else columns["pickup_zone"],
        dropoff=[] if one["dropoff_zone"] is None else columns["dropoff_zone"],
        starts=b"" if one["start_at"] is None else (np.array(columns["start_at"]) / MICRO).astype("<f8").tobytes(),
        features=features,
        ages=ages,
        answers=answers,
        fallback=fallback if any(fallback) else b"",
        reason=next((reason for reason in columns["reason"] if reason), ""),
        server_ms=one["server_ms"],
        model_ms=one["model_ms"],
    )


def _matrix(table: Any, names: Sequence[str]) -> tuple[Matrix, list[bool]]:
    """Columns side by side, and which rows have them."""
    if not names:
        return np.empty((len(table), 0), dtype=np.float32), [False] * len(table)
    # Not to_numpy() of a column with nulls: they become NaN, which is a value here.
    present = table.column(names[0]).is_valid().to_pylist()
    return np.column_stack([table.column(name).to_numpy() for name in names]), present


def _raw(matrix: tuple[Matrix, list[bool]], rows: list[int]) -> bytes:
    values, present = matrix
    return values[rows].astype("<f4").tobytes() if present[rows[0]] else b""
