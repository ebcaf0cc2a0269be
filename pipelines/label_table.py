"""Labels of a part as an Arrow table, with their lineage in the schema's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from contracts.local_time import Ints
from contracts.schema import Floats
from training.labelling import Asked, Labelled
from training.labels import Words

LINEAGE_KEY: Final = "tandem.lineage"
_MICRO: Final = 1e6
_UTC: Final = pa.timestamp("us", tz="UTC")


def label_table(asked: Asked, found: Labelled, lineage: Mapping[str, Any]) -> Any:
    """Build a part's table, the same for the same rows.

    `label_s` is null where nothing is to be learned yet, `recorded_s` where nothing was recorded, `reason` where the
    record stands, `features_at`, the newest snapshot that was read, where there was none.
    """
    known = found.snapshot_us[found.snapshot_us > 0]
    span = [_text(known.min()), _text(known.max())] if len(known) else None
    columns = {
        "id": pa.array(asked.ids, type=pa.string()),
        "at": pa.array(asked.at_us, type=pa.int64()).cast(_UTC),
        "pickup_zone": pa.array(asked.pickup_zone, type=pa.string()),
        "dropoff_zone": pa.array(asked.dropoff_zone, type=pa.string()),
        "recorded_s": _numbers(asked.recorded_s),
        "teacher_s": _numbers(found.teacher_s),
        "label_s": _numbers(found.labels.seconds),
        "source": _words(found.labels.source),
        "doubt": pa.array(found.labels.doubt, type=pa.float64()),
        "reason": _words(found.labels.reason),
        "fold": pa.array(found.fold, type=pa.int8()),
        "features_at": _times(found.snapshot_us),
    }
    document = json.dumps({**lineage, "features_at": span}, sort_keys=True)
    return pa.table(columns).replace_schema_metadata({LINEAGE_KEY: document})


def _numbers(values: Floats) -> Any:
    return pa.array(values, type=pa.float64(), from_pandas=True)  # NaN is null here: these are labels, not features


def _words(values: Words) -> Any:
    return pa.array([value or None for value in values], type=pa.string())


def _times(at_us: Ints) -> Any:
    return pa.array(at_us, mask=at_us == 0, type=pa.int64()).cast(_UTC)


def _text(at_us: np.int64) -> str:
    return datetime.fromtimestamp(float(at_us) / _MICRO, UTC).isoformat()
