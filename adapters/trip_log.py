"""The trips that the live windows counted, on this machine's disk: a file for each hour (UTC) in which they ended.

A line of JSON a trip. It is written before the trip counts anywhere, so that the windows can be filled again and
history has what was served; a trip that is there twice is one. Any number of processes may append.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from adapters.trip_log_files import HOUR_US, file_name, trips_between
from contracts.clock import Clock
from contracts.counted_trips import CountedTrip

_SYNC_S: Final = 1.0  # what a machine without power may lose; a killed process loses nothing
_OPEN: Final = 4  # files
_LOG: Final = logging.getLogger(__name__)
_LINES: Final = msgspec.json.Encoder()


class TripLog:
    """One folder. What the disk refuses is counted in `missed` and told once: live features go on without it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._files: dict[int, int] = {}  # descriptors by hour
        self._synced_at = float("-inf")
        self._id = ""
        self.missed = 0

    @property
    def id(self) -> str:
        """A name that no other log has, as long as this one is there; empty where none can be kept."""
        path = self._folder / "id"
        if self._id:
            return self._id
        try:
            if not path.exists():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                partial = path.with_suffix(f".{os.getpid()}")
                partial.write_text(uuid4().hex)
                partial.rename(path)
            self._id = path.read_text()
        except OSError:
            return ""
        return self._id

    def append(self, trips: Sequence[CountedTrip]) -> None:
        """Write trips, those of an hour with one system call."""
        by_hour: dict[int, list[CountedTrip]] = {}
        for trip in trips:
            by_hour.setdefault(trip.ended_us // HOUR_US, []).append(trip)
        try:
            for hour, of in by_hour.items():
                self._write(self._file(hour), _LINES.encode_lines(of))
            self._sync()
        except OSError as error:
            if not self.missed:
                _LOG.error("%s: %s; trips count, and are missing there", self._folder, error.strerror or error)
            self.missed += len(trips)
            self.close()

    def since(self, first_us: int) -> Iterator[CountedTrip]:
        """Trips that ended from a moment on; one may be there twice."""
        return trips_between(self._folder, first_us, round(self._clock.now() * 1_000_000) + HOUR_US)

    def close(self) -> None:
        """Let the files go."""
        files, self._files = self._files, {}
        for descriptor in files.values():
            os.close(descriptor)

    def _file(self, hour: int) -> int:
        if hour not in self._files:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / file_name(hour)
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._files[hour] = descriptor
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a line that was cut short spoils no other
                self._write(descriptor, b"\n")
            while len(self._files) > _OPEN:
                os.close(self._files.pop(next(iter(self._files))))
        return self._files[hour]

    @staticmethod
    def _write(descriptor: int, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def _sync(self) -> None:
        now = self._clock.monotonic()
        if now - self._synced_at >= _SYNC_S:
            for descriptor in self._files.values():
                os.fdatasync(descriptor)
            self._synced_at = now
