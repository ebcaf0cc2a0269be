"""The prediction log between two times: what was answered then, wherever it lies now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from adapters.segment_folder import segments
from contracts.answered import Answered
from contracts.errors import Unavailable
from contracts.local_time import DAY_S
from pipelines.answered_rows import ParquetRows, SegmentPart
from pipelines.partition_files import parquet_files

# A record is in a segment that was begun at most so long before or after its answer: a segment is closed after a
# minute, and what a disk refuses waits in memory.
SPAN_S: Final = 300.0
_MILLI: Final = 1e3


class LogRange:
    """Reads one folder; remembers which row group of its Parquet holds which times."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spans: dict[Path, list[tuple[float, float]]] = {}

    def between(self, start: float, end: float) -> Iterator[list[Answered]]:
        """Requests answered at start <= at < end, each once, in no order. Raises Unavailable."""
        seen: set[int] = set()
        try:
            for path in segments(self._folder):  # first: what gives way to Parquet meanwhile is found there
                if start - SPAN_S <= begun_at(path) < end + SPAN_S:
                    for batch in SegmentPart(path, 0):
                        found = [one for one in batch if start <= one.at < end]
                        seen.update(one.key for one in found)
                        yield found
            for batch in self._in_parquet(start, end):
                found = [one for one in batch if start <= one.at < end]
                yield [one for one in found if one.key not in seen] if seen else found
        except OSError as error:
            raise Unavailable("prediction log", "unreadable", f"{self._folder}: {error.strerror or error}") from error

    def _in_parquet(self, start: float, end: float) -> Iterator[list[Answered]]:
        first, last = (f"date={np.datetime64(int(at // DAY_S), 'D')}" for at in (start, end))
        listed = [path for path in parquet_files(self._folder) if first <= path.parent.name <= last]
        self._spans = {path: self._spans[path] for path in listed if path in self._spans}
        for path in listed:
            groups = [i for i, (low, high) in enumerate(self._of(path)) if low < end and high >= start]
            if not groups:
                continue
            try:
                rows = ParquetRows(path)
            except FileNotFoundError:  # the oldest go
                continue
            try:
                for group in groups:
                    yield rows.read(group)
            finally:
                rows.close()

    def _of(self, path: Path) -> list[tuple[float, float]]:
        if path not in self._spans:
            try:
                rows = ParquetRows(path)
            except FileNotFoundError:
                return []
            self._spans[path] = rows.spans
            rows.close()
        return self._spans[path]


def begun_at(segment: Path) -> float:
    """When a segment was begun, epoch seconds, as its name says; 0 where it says nothing."""
    words = segment.stem.partition("-")[0]
    return int(words) / _MILLI if words.isdigit() else 0.0
