"""Labels of a part as an Arrow table, and their lineage in its metadata."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.local_time import Ints
from contracts.schema import Floats
from training.labelling import Asked, Labelled
from training.labels import BLEND, SOURCES, TEACHER, Words

LINEAGE_KEY: Final = "tandem.lineage"
_MOSTLY: Final = 0.5
_UTC: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("at", _UTC),
        ("pickup_zone", pa.string()),
        ("dropoff_zone", pa.string()),
        ("recorded_s", pa.float64()),  # null where nothing was recorded
        ("teacher_s", pa.float64()),  # out of fold
        ("label_s", pa.float64()),  # null where nothing is to be learned yet
        ("source", pa.string()),
        ("doubt", pa.float64()),  # the teacher's share in the label
        ("reason", pa.string()),  # null where the record stands
        ("fold", pa.int8()),
        ("features_at", _UTC),  # the newest snapshot that was read; null where there was none
    ]
)


def label_table(asked: Asked, found: Labelled) -> Any:
    """Build a part's table, the same for the same rows."""
    snapshots = pa.array(found.snapshot_us, mask=found.snapshot_us == 0, type=pa.int64())
    columns = [
        pa.array(asked.ids, type=pa.string()),
        _times(asked.at_us),
        pa.array(asked.pickup_zone, type=pa.string()),
        pa.array(asked.dropoff_zone, type=pa.string()),
        _numbers(asked.recorded_s),
        _numbers(found.teacher_s),
        _numbers(found.labels.seconds),
        _words(found.labels.source),
        pa.array(found.labels.doubt, type=pa.float64()),
        _words(found.labels.reason),
        pa.array(found.fold, type=pa.int8()),
        snapshots.cast(_UTC),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def with_lineage(table: Any, lineage: Mapping[str, Any]) -> Any:
    """The table in one piece, with what it comes from and the span of the snapshots it was made of."""
    span = pc.min_max(table["features_at"]).as_py()
    times = {f"features_{side}": at and at.isoformat() for side, at in (("from", span["min"]), ("to", span["max"]))}
    document = json.dumps({**lineage, **times}, sort_keys=True)
    # In one piece and by the schema: an engine may have cut it, or know types of its own.
    return table.combine_chunks().cast(SCHEMA).replace_schema_metadata({LINEAGE_KEY: document})


def count_labels(files: Iterable[Path]) -> dict[str, Any]:
    """Labels by source, and those quarantined by reason, read a part at a time."""
    sources, reasons = Counter[str](), Counter[str]()
    for file in files:
        table = pq.read_table(file, columns=["source", "reason", "doubt"])
        sources.update(_counts(table["source"]))
        recorded = pc.is_in(table["source"], pa.array([BLEND, TEACHER]))
        aside = table.filter(pc.and_(recorded, pc.greater(table["doubt"], _MOSTLY)))
        reasons.update(_counts(aside["reason"]))
    labels = {one: sources[one] for one in SOURCES if sources[one]}
    return {"labels": labels, "quarantined": dict(sorted(reasons.items()))}


def _counts(column: Any) -> dict[str, int]:
    return {row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()}


def _numbers(values: Floats) -> Any:
    return pa.array(values, type=pa.float64(), from_pandas=True)  # NaN is null here: these are labels, not features


def _words(values: Words) -> Any:
    return pa.array([value or None for value in values], type=pa.string())


def _times(at_us: Ints) -> Any:
    return pa.array(at_us, type=pa.int64()).cast(_UTC)
