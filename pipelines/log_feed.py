"""What has come to the prediction log since the last look: each record once, whatever was compacted meanwhile.

Segments are read as they grow, each from where the last look ended. A compacted file names the segments it was made
from: what was read of those is known by the records' keys, and the rest is read from the file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from adapters.segment_folder import segments
from contracts.answered import Answered
from contracts.errors import Unavailable
from contracts.local_time import DAY_S
from pipelines.answered_rows import ParquetRows, SegmentPart
from pipelines.partition_files import parquet_files


@dataclass
class _Segment:
    end: int = 0
    finished: bool = False
    keys: array[int] = field(default_factory=lambda: array("Q"))  # of what was read, until it is known to be in Parquet


class LogFeed:
    """Follows one folder from an epoch time on. Memory: 8 bytes a record that is not yet compacted."""

    def __init__(self, folder: Path, since: float) -> None:
        self._folder, self._since = folder, since
        self._first_day = f"date={np.datetime64(int(since // DAY_S), 'D')}"
        self._segments: dict[str, _Segment] = {}
        self._files: dict[str, int] = {}  # Parquet files that were begun: row groups done
        self._known: set[str] = set()  # Parquet files of which nothing is new any more

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
        gone = self._segments.keys() - {path.stem for path in listed}
        for stem in gone:
            del self._segments[stem]

    def _of_segment(self, path: Path) -> Iterator[list[Answered]]:
        state = self._segments.setdefault(path.stem, _Segment())
        if state.finished:
            return
        part = SegmentPart(path, state.end)
        for batch in part:
            state.end = part.end
            state.keys.extend(one.key for one in batch)
            yield self._timely(batch)
        state.end, state.finished = part.end, part.finished

    def _of_file(self, path: Path) -> Iterator[list[Answered]]:
        name = f"{path.parent.name}/{path.name}"
        if name in self._known or path.parent.name < self._first_day:
            return
        try:
            rows = ParquetRows(path)
        except FileNotFoundError:
            return
        try:
            read = [self._segments[stem] for stem in rows.segments or () if stem in self._segments]
            # Files of older releases say nothing, and hold nothing of a rollout that began under this one.
            if rows.segments is not None and not (len(read) == len(rows.segments) and all(s.finished for s in read)):
                seen = {key for state in read for key in state.keys}
                for group in range(self._files.get(name, 0), len(rows.spans)):
                    self._files[name] = group + 1
                    if rows.spans[group][1] >= self._since:
                        batch = rows.read(group)
                        yield self._timely([one for one in batch if one.key not in seen] if seen else batch)
        finally:
            rows.close()
        self._known.add(name)
        self._files.pop(name, None)

    def _timely(self, batch: list[Answered]) -> list[Answered]:
        return [one for one in batch if one.at >= self._since]
