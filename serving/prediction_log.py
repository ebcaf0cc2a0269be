"""The prediction log's hot end: a record is encoded into a bounded buffer, and a thread writes what has gathered.

What the disk refuses stays in the buffer and is tried again; when the buffer is full, new records are dropped and
counted. Serving never waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from adapters.prediction_segments import frame
from adapters.segment_writer import SegmentLimits, SegmentWriter
from contracts.clock import Clock, SystemClock
from contracts.predictions import Prediction, SegmentHead

_WRITE_BYTES: Final = 1 << 20  # joining more at once would keep the event loop from its turn
_CLOSE_S: Final = 5.0
Frame: TypeAlias = bytes
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogLimits:
    """What the log may hold in memory and on disk, and how often it writes."""

    memory_bytes: int = 16 << 20
    flush_s: float = 0.5
    retry_s: float = 2.0
    segments: SegmentLimits = field(default_factory=SegmentLimits)


class PredictionLog:
    """Writes segments below a folder from `start` to `close`; counts are since the start.

    `records` and `bytes` are on disk; `dropped_memory` were refused by a full buffer, `dropped_disk` by one that was
    full because the disk took nothing, `refused` could not be encoded. A record is in exactly one of these counts, or
    still waits.
    """

    def __init__(
        self, folder: Path, head: SegmentHead, limits: LogLimits | None = None, clock: Clock | None = None
    ) -> None:
        self._limits = limits or LogLimits()
        self._writer = SegmentWriter(folder, head, self._limits.segments, clock or SystemClock())
        self._encode = msgspec.msgpack.Encoder().encode
        self._lock = threading.Lock()
        self._waiting: list[Frame] = []
        self._room = self._limits.memory_bytes
        self._stuck = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.records = 0
        self.refused = 0
        self.dropped_memory = 0
        self.dropped_disk = 0

    @property
    def bytes(self) -> int:
        """Bytes written."""
        return self._writer.bytes

    @property
    def write_errors(self) -> int:
        """Writes that failed; reaching the bound on disk is none."""
        return self._writer.errors

    def start(self) -> None:
        """Begin to write in the background."""
        self._thread.start()

    def append(self, record: Prediction) -> None:
        """Take a record, or drop and count it; never waits for the disk."""
        try:
            framed = frame(self._encode(record))
        except (TypeError, ValueError):  # the answer is right whatever its record is
            self.refused += 1
            if self.refused == 1:
                _LOG.exception("prediction log: a record can't be encoded; more are only counted")
            return
        with self._lock:
            if len(framed) <= self._room:
                self._room -= len(framed)
                self._waiting.append(framed)
            elif self._stuck:
                self.dropped_disk += 1
            else:
                self.dropped_memory += 1

    def flush(self) -> None:
        """Write what waits. The thread's work: call it only where `start` was not."""
        with self._lock:
            frames, self._waiting = self._waiting, []
        done = 0
        try:
            for end in _ends(frames):
                written = self._writer.write(frames[done:end])
                self._wrote(frames[done : done + written])
                done += written
                if done < end:
                    break
            else:
                self._writer.tick()
        finally:
            self._keep(frames[done:])

    def close(self) -> None:
        """Write what waits and close the segment; what comes later is dropped."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)
            if self._thread.is_alive():
                _LOG.error("prediction log: the disk has not answered for %s s, the rest is lost", _CLOSE_S)
                return
        self.flush()
        self._writer.close()
        with self._lock:
            self.dropped_disk += len(self._waiting)
            self._waiting, self._room, self._stuck = [], -1, False

    def _run(self) -> None:
        wait_s = self._limits.flush_s
        while not self._ending.wait(wait_s):
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - without this thread nothing would be written any more
                _LOG.exception("prediction log: writing failed")
            wait_s = self._limits.retry_s if self._stuck else self._limits.flush_s

    def _wrote(self, frames: Sequence[Frame]) -> None:
        size = sum(map(len, frames))
        with self._lock:
            self._room += size
            self.records += len(frames)

    def _keep(self, rest: list[Frame]) -> None:
        """Put what was not written before what came meanwhile; say once that, and when, the disk took nothing."""
        changed = bool(rest) != self._stuck
        with self._lock:
            self._stuck = bool(rest)
            self._waiting[:0] = rest
        if changed and rest:
            _LOG.error("prediction log: %s; new records are kept while there is room", self._writer.problem)
        elif changed:
            _LOG.warning("prediction log: writing again, %d records were dropped", self.dropped_disk)


def _ends(frames: Sequence[Frame]) -> Iterator[int]:
    """Where to cut so that a part has `_WRITE_BYTES`, or one frame that is larger."""
    size = 0
    for i, frame_ in enumerate(frames):
        if size and size + len(frame_) > _WRITE_BYTES:
            yield i
            size = 0
        size += len(frame_)
    if frames:
        yield len(frames)
