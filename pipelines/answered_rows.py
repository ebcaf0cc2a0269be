"""Logged requests out of the prediction log's files: segments record by record, Parquet row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.prediction_segments import SegmentReader
from adapters.segment_folder import CLOSED
from contracts.answered import Answered
from contracts.errors import Unavailable
from contracts.predictions import INFER, Prediction
from pipelines.partition_files import SEGMENTS
from pipelines.prediction_rows import MICRO

BATCH: Final = 5000
_COLUMNS: Final = (
    *("request_id", "kind", "at", "unit", "generation", "version", "arm", "pickup_zone", "id", "eta_s"),
    *("source", "reason", "server_ms", "model_ms"),
)


class SegmentPart:
    """What a segment holds after a position; `end` moves with each batch, `finished` says that no more will come."""

    def __init__(self, path: Path, start: int) -> None:
        self._path, self.end, self.finished = path, start, False

    def __iter__(self) -> Iterator[list[Answered]]:
        """Batches in order; none where the segment is gone, to Parquet as it seems."""
        for place in (self._path, self._path.with_suffix(CLOSED)):  # closed since it was listed
            try:
                file = place.open("rb")
            except FileNotFoundError:
                continue
            with file:
                reader, batch = SegmentReader(file, start=self.end), list[Answered]()
                for record in reader:
                    one = _answered(record)
                    if one is None:
                        continue
                    batch.append(one)
                    if len(batch) >= BATCH:
                        self.end = reader.end
                        yield batch
                        batch = []
                self.end = reader.end
                self.finished = place.suffix == CLOSED
                if batch:
                    yield batch
            return


class ParquetRows:
    """One file of the log. `segments` are the stems of those it was made from; None in files of older releases."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, FileNotFoundError):  # the oldest go
                raise
            raise Unavailable("prediction log", "damaged", f"{path}: {error}") from error
        self._path = path
        names = (self._file.schema_arrow.metadata or {}).get(SEGMENTS)
        self.segments: list[str] | None = None if names is None else msgspec.json.decode(names, type=list[str])
        times = self._file.metadata.schema.names.index("at")
        groups = [self._file.metadata.row_group(i) for i in range(self._file.metadata.num_row_groups)]
        self.spans: list[tuple[float, float]] = []  # of each row group: its first and its last time, epoch seconds
        for group in groups:
            statistics = group.column(times).statistics
            self.spans.append((statistics.min.timestamp(), statistics.max.timestamp()))

    def read(self, group: int) -> list[Answered]:
        """The requests of a row group, but those for tensors. Raises Unavailable where it is damaged."""
        try:
            table = self._file.read_row_group(group, columns=list(_COLUMNS))
        except (pa.ArrowException, OSError) as error:
            raise Unavailable("prediction log", "damaged", f"{self._path}: {error}") from error
        columns = {name: _values(table, name) for name in _COLUMNS}
        keys = list(zip(columns["request_id"], columns["kind"], strict=True))
        found = []
        for (_, kind), rows in groupby(range(len(keys)), key=keys.__getitem__):
            if kind != INFER:
                found.append(_one(columns, list(rows)))
        return found

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def _answered(record: Prediction) -> Answered | None:
    """What judges need of a record; tensors have no arm."""
    if record.kind == INFER:
        return None
    try:
        return Answered.of(record)
    except ValueError:  # its parts don't fit together: compaction keeps the segment as damaged
        return None


def _values(table: Any, name: str) -> list[Any]:
    column = table.column(name)
    values: list[Any] = (column.cast("int64") if name == "at" else column).to_pylist()
    return values


def _one(columns: dict[str, list[Any]], rows: list[int]) -> Answered:
    first = rows[0]
    one = {name: values[first] for name, values in columns.items()}
    reasons = [columns["reason"][row] for row in rows]
    return Answered(
        one["request_id"],
        one["kind"],
        one["at"] / MICRO,
        one["unit"],
        one["generation"],
        one["version"],
        one["arm"],
        one["pickup_zone"] or "",
        [columns["id"][row] for row in rows],
        [columns["eta_s"][row] for row in rows],
        [columns["source"][row] == "fallback" for row in rows],
        next((reason for reason in reasons if reason), ""),
        one["server_ms"],
        one["model_ms"],
    )
