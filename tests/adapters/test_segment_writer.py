"""Writing segments: when they rotate, what bounds them, and what a full disk leaves."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from adapters.prediction_segments import frame, frame_head
from adapters.segment_folder import closed_segments, segments
from adapters.segment_writer import SegmentLimits, SegmentWriter
from tests.fakes import FakeClock
from tests.some_predictions import HEAD, prediction, read

HEAD_BYTES = len(frame_head(HEAD))
FRAMES = [frame(msgspec.msgpack.encode(prediction(i))) for i in range(12)]
SIZE = len(FRAMES[0])


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


def writer(folder: Path, clock: FakeClock, **limits: float) -> SegmentWriter:
    """A writer with some limits."""
    return SegmentWriter(folder, HEAD, SegmentLimits(**limits), clock)  # type: ignore[arg-type]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The system refuses what would make a file larger, after the part that fits: as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def numbers(folder: Path) -> list[str]:
    """The request ids on disk, in order."""
    return [record.request_id for path in segments(folder) for record in read(path)]


def ids(*wanted: int) -> list[str]:
    """Request ids by number."""
    return [f"request-{i}" for i in wanted]


def test_a_segment_is_closed_when_large_enough(tmp_path: Path, clock: FakeClock) -> None:
    """At the first write that reaches the size; the next one begins another."""
    log = writer(tmp_path, clock, segment_bytes=HEAD_BYTES + 2 * SIZE)
    for i in range(5):
        assert log.write(FRAMES[i : i + 1]) == 1
        clock.advance(0.01)
    assert len(closed_segments(tmp_path)) == 2
    log.close()
    assert [len(read(path)) for path in closed_segments(tmp_path)] == [2, 2, 1]
    assert numbers(tmp_path) == ids(0, 1, 2, 3, 4)


def test_a_segment_is_closed_when_old_enough(tmp_path: Path, clock: FakeClock) -> None:
    """Though nothing more is written; one without a record is not begun."""
    log = writer(tmp_path, clock, segment_s=60.0)
    log.tick()
    assert segments(tmp_path) == []
    log.write(FRAMES[:1])
    clock.advance(59.9)
    log.tick()
    assert closed_segments(tmp_path) == []
    clock.advance(0.2)
    log.tick()
    assert numbers(tmp_path) == ids(0)
    assert len(closed_segments(tmp_path)) == 1


def test_the_bound_counts_every_writers_segments(tmp_path: Path, clock: FakeClock) -> None:
    """What would exceed it is refused until somebody has made room."""
    (tmp_path / "0.log").write_bytes(bytes(5 * SIZE))
    log = writer(tmp_path, clock, disk_bytes=8 * SIZE + HEAD_BYTES)
    assert log.write(FRAMES[:3]) == 3
    assert log.write(FRAMES[3:4]) == 0
    assert f"would exceed {8 * SIZE + HEAD_BYTES} bytes" in log.problem
    assert len(closed_segments(tmp_path)) == 2  # so that it may be compacted, which makes room
    (tmp_path / "0.log").unlink()
    assert log.write(FRAMES[3:4]) == 0  # it has not looked again
    clock.advance(5.0)
    assert log.write(FRAMES[3:4]) == 1
    assert log.errors == 0
    assert numbers(tmp_path) == ids(0, 1, 2, 3)


@pytest.mark.parametrize("spare", [0, 1, SIZE // 2, SIZE - 1])
def test_a_full_disk_keeps_whole_frames_and_doubles_none(tmp_path: Path, clock: FakeClock, spare: int) -> None:
    """The write breaks off within a frame; the caller learns how many frames are there and goes on after them."""
    log = writer(tmp_path, clock)
    log.write(FRAMES[:2])
    with files_up_to(HEAD_BYTES + 4 * SIZE + spare):
        assert log.write(FRAMES[2:6]) == 2
    assert "File too large" in log.problem
    clock.advance(1.0)
    assert log.write(FRAMES[4:6]) == 2
    log.close()
    assert numbers(tmp_path) == ids(0, 1, 2, 3, 4, 5)
    assert (log.errors, log.bytes) == (1, 6 * SIZE + 2 * HEAD_BYTES)
    assert sum(path.stat().st_size for path in segments(tmp_path)) == log.bytes


@pytest.mark.parametrize("room", [0, 10, HEAD_BYTES, HEAD_BYTES + 1])
def test_a_disk_without_room_for_a_record_is_left_without_a_segment(
    tmp_path: Path, clock: FakeClock, room: int
) -> None:
    """However often it is tried."""
    log = writer(tmp_path, clock)
    with files_up_to(room):
        assert [log.write(FRAMES[:1]) for _ in range(3)] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []
    assert log.write(FRAMES[:1]) == 1
    assert log.errors == 3


def test_a_folder_that_cannot_be(tmp_path: Path, clock: FakeClock) -> None:
    """A file stands in its place: no exception, and writing goes on when it is gone."""
    (tmp_path / "predictions").touch()
    log = writer(tmp_path / "predictions", clock)
    assert log.write(FRAMES[:1]) == 0
    assert log.problem.endswith("File exists") or log.problem.endswith("Not a directory")
    (tmp_path / "predictions").unlink()
    assert log.write(FRAMES[:1]) == 1


def test_a_segment_that_somebody_removed(tmp_path: Path, clock: FakeClock) -> None:
    """Writing into a file without a name would go on for ever; after some seconds there is a new one."""
    log = writer(tmp_path, clock)
    log.write(FRAMES[:1])
    segments(tmp_path)[0].unlink()
    clock.advance(5.0)
    log.write(FRAMES[1:2])
    assert numbers(tmp_path) == ids(1)
