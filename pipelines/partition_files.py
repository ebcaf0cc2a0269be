"""The Parquet files of the prediction log, a folder a day: ``parquet/date=YYYY-MM-DD/…``, shown when durable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from adapters.durable import sync
from contracts.local_time import DAY_S
from contracts.predictions import Prediction, SegmentHead
from pipelines.prediction_rows import Columns, Rows, fits

PARTIAL: Final = ".partial"
PARQUET: Final = "parquet"
SEGMENTS: Final = b"tandem.segments"
_ROWS: Final = 16_384  # of a row group


class _File:
    """One Parquet file in the making."""

    def __init__(self, partial: Path, place: Path, columns: Columns, segments: Sequence[str]) -> None:
        self.partial, self.place = partial, place
        self._gathered = Rows(columns)
        schema = columns.schema()
        schema = schema.with_metadata({**schema.metadata, SEGMENTS: json.dumps(list(segments)).encode()})
        self._writer = pq.ParquetWriter(partial, schema, compression="zstd")

    def add(self, record: Prediction, source: str) -> bool:
        whole = self._gathered.add(record, source)
        if len(self._gathered) >= _ROWS:
            self._write()
        return whole

    def close(self) -> None:
        if len(self._gathered):
            self._write()
        self._writer.close()

    def _write(self) -> None:
        self._writer.write_table(self._gathered.take())


class PartitionFiles:
    """The files of a plan: one for each day and set of columns. Each names all of the plan's segments, by their stems.

    Whoever has read segments as they grew tells by that which files hold what it has not seen.
    """

    def __init__(self, folder: Path, name: str, segments: Sequence[str], closing: ExitStack) -> None:
        self._folder, self._name, self._segments, self._closing = folder, name, segments, closing
        self._files: dict[tuple[str, Columns], _File] = {}
        self._last: tuple[SegmentHead | None, int, _File] | None = None
        self.records = 0
        self.rows = 0

    def __len__(self) -> int:
        return len(self._files)

    def add(self, head: SegmentHead | None, record: Prediction) -> bool:
        """Add a record's rows; False where it, or a part of it, has no place in a row."""
        if not fits(record) or (head and not head.schema_hash.startswith(record.schema_hash)):
            return False
        day = int(record.at // DAY_S)
        if self._last is None or self._last[0] is not head or self._last[1] != day:
            self._last = head, day, self._file(head, day)
        self.records += 1
        self.rows += record.rows
        return self._last[2].add(record, head.source if head else "")

    def finish(self) -> None:
        """Make the files durable and show them under their names."""
        for file in self._files.values():
            file.close()
            file.partial.chmod(0o600)
            sync(file.partial)
        for file in self._files.values():
            file.place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.partial.replace(file.place)
        for folder in {file.place.parent for file in self._files.values()}:
            sync(folder)
        if self._files:
            sync(self._folder / PARQUET)

    def _file(self, head: SegmentHead | None, day: int) -> _File:
        date, columns = str(np.datetime64(day, "D")), Columns.of(head)
        if (date, columns) not in self._files:
            name = f"{self._name}-{columns.digest()}.parquet"
            place = self._folder / PARQUET / f"date={date}" / name
            file = _File(self._folder / PARTIAL / f"{date}-{name}", place, columns, self._segments)
            self._closing.callback(file.close)
            self._files[date, columns] = file
        return self._files[date, columns]


def parquet_files(folder: Path) -> list[Path]:
    """The files of all partitions below the log's folder, oldest first."""
    return sorted((folder / PARQUET).glob("date=*/*.parquet"))
