"""Publishes the prediction log as it grows: from the segments on disk, so that no request waits for a broker.

At least once: how far each segment is published stands in a file, which is written after the broker has taken the
events. What a compaction takes before that, since the broker was away for an hour, is counted as missed. What nobody
wants is passed over: on the embedded server it would cost memory and writing for no one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from adapters.prediction_segments import SegmentReader
from adapters.segment_folder import CLOSED, segments
from adapters.streams import Entry, Stream
from contracts.clock import Clock
from contracts.errors import Unavailable
from contracts.events import encode_event
from contracts.prediction_events import PREDICTIONS
from contracts.predictions import SegmentHead
from pipelines.prediction_events import events_of
from pipelines.published import forget_published, read_published, touch, write_published
from pipelines.stream_metrics import Ages

_PART: Final = 1 << 18  # bytes of a segment in one step
_LARGEST: Final = 8 << 20  # of a record: what is longer is damage
_LOOK_S: Final = 0.5
_EVENTS: Final = 500  # a publication


@dataclass
class _Segment:
    position: int  # bytes that are published
    size: int = 0  # as last seen
    head: SegmentHead | None = None


class PredictionTopic:
    """Follows one folder, as one of the stream's followers."""

    def __init__(
        self, folder: Path, stream: Stream, wanted: Callable[[], bool], clock: Clock, sleep: Callable[[float], None]
    ) -> None:
        self._folder, self._stream, self._wanted = folder, stream, wanted
        self._clock, self._sleep = clock, sleep
        self._segments = {stem: _Segment(position) for stem, position in read_published(folder).items()}
        self._noted = False
        self.topic = PREDICTIONS
        self.counts: Counter[str] = Counter()
        self.ages = Ages()  # from an answer to the broker's word

    def step(self, timeout_s: float) -> int:
        """Publish the next part of the oldest segment that has one; returns how many events. Raises Unavailable."""
        if not self._folder.is_dir():
            self._sleep(timeout_s)
            return 0
        try:
            found = self._look()
            if not self._wanted():
                self._pass_over()
                self._sleep(timeout_s)
                return 0
            if not self._noted:
                self._note()
            for path in found:
                segment = self._segments[path.stem]
                if segment.position < segment.size and (done := self._publish(path, segment)) is not None:
                    return done
            touch(self._folder)
        except OSError as error:
            raise Unavailable("prediction log", "unreadable", f"{self._folder}: {error.strerror or error}") from error
        self._sleep(timeout_s)
        return 0

    def due_s(self) -> float:
        """Seconds to the next look."""
        return _LOOK_S

    def lag(self) -> int:
        """Bytes of the log that are not published."""
        return sum(max(segment.size - segment.position, 0) for segment in self._segments.values())

    def _look(self) -> list[Path]:
        """The segments there are, oldest first; those that are gone are forgotten."""
        found = segments(self._folder)
        for path in found:
            segment = self._segments.setdefault(path.stem, _Segment(0))
            with suppress(FileNotFoundError):  # closed since it was listed: the next look finds its new name
                segment.size = path.stat().st_size
        gone = self._segments.keys() - {path.stem for path in found}
        for stem in gone:
            segment = self._segments.pop(stem)
            self.counts["missed_bytes"] += max(segment.size - segment.position, 0)
        if gone and self._noted:
            self._note()
        return found

    def _pass_over(self) -> None:
        """Who comes later gets what comes later; no segment waits for anybody."""
        for segment in self._segments.values():
            segment.position = segment.size
        if self._noted:
            forget_published(self._folder)
            self._noted = False

    def _publish(self, path: Path, segment: _Segment) -> int | None:
        """Publish some whole records of a segment; None where it has no more of them now."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            if segment.head is None and segment.position:
                segment.head = _head(file.read(_PART))
            file.seek(segment.position)
            part = file.read(_PART)
            reader = SegmentReader(BytesIO(part))
            records = list(reader)
            while not records and len(part) < _LARGEST and reader.torn and (more := file.read(_PART)):
                part += more
                reader = SegmentReader(BytesIO(part))
                records = list(reader)
        segment.head = reader.head or segment.head
        # What makes no whole record at the end of a part may be the beginning of one; of a closed segment, it is lost.
        at_end = segment.position + len(part) >= segment.size
        torn = reader.torn if not (path.suffix == CLOSED and at_end) else 0
        if torn == len(part):
            return None
        entries: list[Entry] = []
        for record in records:
            entries += [(record.request_id, encode_event(event)) for event in events_of(record, segment.head)]
        for start in range(0, len(entries), _EVENTS):
            self._stream.publish(PREDICTIONS, entries[start : start + _EVENTS])
        segment.position += len(part) - torn
        self._note()
        now = self._clock.now()
        self.ages.add([now - record.at for record in records])
        self.counts["committed"] += len(entries)
        self.counts["damaged_bytes"] += reader.damaged
        return len(entries)

    def _note(self) -> None:
        self._noted = True
        write_published(self._folder, {stem: segment.position for stem, segment in self._segments.items()})


def _head(beginning: bytes) -> SegmentHead | None:
    """The head at the beginning of a segment."""
    reader = SegmentReader(BytesIO(beginning))
    next(iter(reader), None)
    return reader.head
