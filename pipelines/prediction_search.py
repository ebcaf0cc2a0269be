"""Finds the records of a request, wherever in the prediction log they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from adapters.prediction_segments import SegmentReader
from adapters.segment_folder import CLOSED, segments
from contracts.errors import DataRefused
from contracts.predictions import Prediction, SegmentHead
from pipelines.partition_files import parquet_files
from pipelines.prediction_records import records
from pipelines.prediction_rows import MICRO


@dataclass(frozen=True)
class Logged:
    """A record, what its columns are, and the file it is in."""

    record: Prediction
    head: SegmentHead | None
    place: Path


def find(folder: Path, request_id: str) -> list[Logged]:
    """Every record of a request below the log's folder: what was answered, and what shadows said.

    What is compacted meanwhile is found: segments are read before the Parquet that takes their place. Raises
    DataRefused for a Parquet file that is damaged.
    """
    found: dict[tuple[Any, ...], Logged] = {}
    if not request_id.isprintable():  # a byte that is no letter: no id has one, and none could be looked for
        return []
    for logged in (*_in_segments(folder, request_id), *_in_parquet(folder, request_id)):
        record = logged.record
        key = (record.kind, record.version, round(record.at * MICRO), logged.head.source if logged.head else "")
        found.setdefault(key, logged)
    return list(found.values())


def _in_segments(folder: Path, request_id: str) -> Iterator[Logged]:
    for path in segments(folder):
        for place in (path, path.with_suffix(CLOSED)):  # closed since it was listed
            try:
                file = place.open("rb")
            except FileNotFoundError:
                continue
            with file:
                segment = SegmentReader(file, containing=request_id.encode())
                yield from (Logged(r, segment.head, place) for r in segment if r.request_id == request_id)
            break


def _in_parquet(folder: Path, request_id: str) -> Iterator[Logged]:
    # The row groups' statistics spare reading most of it: ids sort by time.
    for path in parquet_files(folder):
        try:
            table = ds.dataset(path, format="parquet").to_table(filter=pc.field("request_id") == request_id)
        except FileNotFoundError:  # the oldest go
            continue
        except pa.ArrowException as error:
            raise DataRefused(str(path), f"can't be read, maybe damaged ({error})") from error
        yield from (Logged(record, head, path) for head, record in records(table))
