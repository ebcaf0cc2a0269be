"""What has come to the prediction log since the last look: each record once, whatever was compacted meanwhile.

Segments are read as they grow, each from where the last look ended. A compacted file names the segments it was made
from: what was read of those is known by the records' keys, and the rest is read from the file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct, field

from adapters.segment_folder import segments
from contracts.answered import Answered
from contracts.errors import Unavailable
from contracts.local_time import DAY_S
from pipelines.answered_rows import ParquetRows, SegmentPart
from pipelines.partition_files import parquet_files


class ReadSegment(Struct):
    """How far a segment was read; `keys` (uint64) are of its records, until they are known to be in Parquet."""

    end: int = 0
    finished: bool = False
    keys: bytearray = field(default_factory=bytearray)


class Cursor(Struct):
    """How far a log was read: by segment's stem, and by Parquet file (``date=…/name``)."""

    segments: dict[str, ReadSegment] = {}
    begun: dict[str, int] = {}  # files: row groups done
    known: set[str] = set()  # files of which nothing is new any more


class LogFeed:
    """Follows one folder from an epoch time on. Memory: 8 bytes a record that is not yet compacted."""

    def __init__(self, folder: Path, since: float, cursor: Cursor) -> None:
        self._folder, self._since, self._cursor = folder, since, cursor
        self._first_day = f"date={np.datetime64(int(since // DAY_S), 'D')}"

    def batches(self) -> Iterator[list[Answered]]:
        """What is new; a batch counts as read when it is given out. Whoever stops between two goes on next time.

        Raises Unavailable where there is no log, or a file of it can't be read.
        """
        try:
            # First the segments: what gives way to Parquet meanwhile is found there.
            listed = segments(self._folder)
            if not listed and not self._folder.is_dir():
                raise Unavailable("prediction log", "missing", f"{self._folder} is no folder")
            for path in listed:
                yield from self._of_segment(path)
            for path in parquet_files(self._folder):
                yield from self._of_file(path)
        except OSError as error:
            raise Unavailable("prediction log", "unreadable", f"{self._folder}: {error.strerror or error}") from error
        # A segment that was gone when it was listed had all of its files before that, and they have been seen.
        for stem in self._cursor.segments.keys() - {path.stem for path in listed}:
            del self._cursor.segments[stem]

    def _of_segment(self, path: Path) -> Iterator[list[Answered]]:
        state = self._cursor.segments.setdefault(path.stem, ReadSegment())
        if state.finished:
            return
        part = SegmentPart(path, state.end)
        for batch in part:
            state.end = part.end
            state.keys += array("Q", [one.key for one in batch]).tobytes()
            yield self._timely(batch)
        state.end, state.finished = part.end, part.finished

    def _of_file(self, path: Path) -> Iterator[list[Answered]]:
        name = f"{path.parent.name}/{path.name}"
        if name in self._cursor.known or path.parent.name < self._first_day:
            return
        try:
            rows = ParquetRows(path)
        except FileNotFoundError:  # the oldest go
            return
        try:
            yield from self._of_rows(name, rows)
        finally:
            rows.close()
        self._cursor.known.add(name)
        self._cursor.begun.pop(name, None)

    def _of_rows(self, name: str, rows: ParquetRows) -> Iterator[list[Answered]]:
        if rows.segments is None:  # of an older release, and so of nothing that began under this one
            return
        read = [self._cursor.segments[stem] for stem in rows.segments if stem in self._cursor.segments]
        if len(read) == len(rows.segments) and all(state.finished for state in read):
            return
        seen = {key for state in read for key in array("Q", bytes(state.keys))}
        for group in range(self._cursor.begun.get(name, 0), len(rows.spans)):
            batch = rows.read(group) if rows.spans[group][1] >= self._since else []
            self._cursor.begun[name] = group + 1
            yield self._timely([one for one in batch if one.key not in seen] if seen else batch)

    def _timely(self, batch: list[Answered]) -> list[Answered]:
        return [one for one in batch if one.at >= self._since]
