"""Writes segments of the prediction log: rotated by size and age, bounded on disk, never a reason to stop.

The bound is on all segments of the folder, which several processes share; each counts the others' now and then.
"""

from __future__ import annotations

import contextlib
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final

from adapters.prediction_segments import frame_head
from adapters.segment_folder import CLOSED, OPEN, lock_segment
from contracts.clock import Clock
from contracts.predictions import SegmentHead

_LOOK_S: Final = 5.0


@dataclass(frozen=True)
class SegmentLimits:
    """When a segment is closed, and how many bytes all of them may have."""

    segment_bytes: int = 32 << 20
    segment_s: float = 60.0
    disk_bytes: int = 2 << 30


class SegmentWriter:
    """One segment at a time, of one process; used by one thread."""

    def __init__(self, folder: Path, head: SegmentHead, limits: SegmentLimits, clock: Clock) -> None:
        self._folder = folder
        self._head = frame_head(head)
        self._limits = limits
        self._clock = clock
        self._descriptor = -1
        self._path = folder
        self._size = 0
        self._opened_at = 0.0
        self._on_disk = 0
        self._looked_at = -_LOOK_S
        self.bytes = 0
        self.errors = 0
        self.problem = ""  # of the last write that failed

    def write(self, frames: Sequence[bytes]) -> int:
        """Write frames with one system call; returns how many, from the first, are there now.

        Fewer than all where the disk or the bound refuses, which `problem` explains. After a failed write the segment
        is closed with the whole frames that it got, and the next write begins another.
        """
        before = self._size
        try:
            self._look()
            before = self._size
            new = b"".join(frames) if before else b"".join((self._head, *frames))
            if self._on_disk + len(new) > self._limits.disk_bytes:
                self.problem = f"{self._folder}: the segments there would exceed {self._limits.disk_bytes} bytes"
                self.close()  # or nobody could ever compact it and make room
                return 0
            if self._descriptor < 0:
                self._open()
            self._append(new)
        except OSError as error:
            self.errors += 1
            self.problem = f"{self._folder}: {error.strerror or error}"
            return self._abandon(frames, before or len(self._head))
        self.bytes += len(new)
        self._on_disk += len(new)
        self.tick()
        return len(frames)

    def tick(self) -> None:
        """Close the segment if it is large or old enough."""
        age_s = self._clock.monotonic() - self._opened_at
        if self._size and (self._size >= self._limits.segment_bytes or age_s >= self._limits.segment_s):
            self.close()

    def close(self) -> None:
        """Close the segment, so that it may be compacted."""
        if self._descriptor < 0:
            return
        # Where the rename fails, it counts as closed as soon as the lock is gone.
        with contextlib.suppress(OSError):
            self._path.rename(self._path.with_suffix(CLOSED)) if self._size else self._path.unlink()
        descriptor, self._descriptor, self._size = self._descriptor, -1, 0
        with contextlib.suppress(OSError):  # what the file system says of it late changes nothing here
            os.close(descriptor)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            name = f"{round(self._clock.now() * 1000):014d}-{os.getpid()}-{os.urandom(4).hex()}{OPEN}"
            path = self._folder / name
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
            if lock_segment(descriptor, path):
                break
            os.close(descriptor)
        self._descriptor, self._path, self._size = descriptor, path, 0
        self._opened_at = self._clock.monotonic()

    def _append(self, new: bytes) -> None:
        rest = memoryview(new)
        while rest:
            written = os.write(self._descriptor, rest)
            self._size += written
            rest = rest[written:]

    def _abandon(self, frames: Sequence[bytes], whole: int) -> int:
        """Close the segment after its last whole frame; `whole` is where the first of the frames begins."""
        if self._descriptor < 0:
            return 0
        ends = list(accumulate((len(frame) for frame in frames), initial=whole))
        written = max(bisect_right(ends, self._size) - 1, 0)
        began = ends[0] > len(self._head)  # it has frames of before
        self._size = ends[written] if written or began else 0
        with contextlib.suppress(OSError):  # else it has a torn end, which readers know
            os.ftruncate(self._descriptor, self._size)
        self.bytes += ends[written] - ends[0]
        self.close()
        return written

    def _look(self) -> None:
        """Count what all writers have on disk, and miss a segment of ours that somebody removed."""
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        sizes: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # compacted meanwhile
                    if entry.name.endswith((OPEN, CLOSED)):
                        sizes[entry.name] = entry.stat().st_size
        self._on_disk = sum(sizes.values())
        if self._descriptor >= 0 and self._path.name not in sizes:
            os.close(self._descriptor)
            self._descriptor, self._size = -1, 0
