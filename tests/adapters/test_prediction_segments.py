"""Reading segments: torn at any byte, damaged anywhere, left by writers that died."""

from __future__ import annotations

import fcntl
import io
import os
from pathlib import Path

import msgspec
import pytest

from adapters.prediction_segments import MAX_PAYLOAD, SegmentReader, frame, frame_head
from adapters.segment_folder import closed_segments, segments
from tests.some_predictions import HEAD, prediction

encode = msgspec.msgpack.encode
RECORDS = [prediction(i, trips=1 + i) for i in range(3)]
FRAMES = [frame_head(HEAD), *(frame(encode(record)) for record in RECORDS)]
WHOLE = b"".join(FRAMES)


def reader(content: bytes) -> SegmentReader:
    """A reader of bytes."""
    return SegmentReader(io.BytesIO(content))


def test_what_was_written_is_read() -> None:
    """Head and records, in order."""
    segment = reader(WHOLE)
    assert list(segment) == RECORDS
    assert (segment.head, segment.torn, segment.damaged) == (HEAD, 0, 0)


def test_a_segment_torn_at_any_byte_gives_the_records_before() -> None:
    """Wherever the last record ends, the ones before it are there and the rest is known as torn."""
    start = len(WHOLE) - len(FRAMES[-1])
    for cut in range(start, len(WHOLE)):
        segment = reader(WHOLE[:cut])
        assert list(segment) == RECORDS[:-1]
        assert (segment.torn, segment.damaged) == (cut - start, 0)


def test_a_flipped_bit_costs_its_record_only() -> None:
    """In mark, length, checksum or payload: the records after it are found again."""
    start, end = len(FRAMES[0]), len(FRAMES[0]) + len(FRAMES[1])
    for at in range(start, end):
        flipped = bytearray(WHOLE)
        flipped[at] ^= 0x10
        segment = reader(bytes(flipped))
        assert list(segment) == RECORDS[1:]
        assert (segment.torn, segment.damaged) == (0, len(FRAMES[1]))


def test_records_larger_than_a_chunk_are_read_on() -> None:
    """A file is read in parts; frames lie across their borders, and so may damage."""
    large = [prediction(i, trips=1, features=bytes([i]) * (MAX_PAYLOAD // 3)) for i in range(7)]
    frames = [frame_head(HEAD), *(frame(encode(record)) for record in large)]
    assert list(reader(b"".join(frames))) == large
    segment = reader(b"".join([*frames[:3], os.urandom(3_000_000), *frames[3:]]))
    assert list(segment) == large
    assert (segment.torn, segment.damaged) == (0, 3_000_000)


@pytest.mark.parametrize("payload", [encode([7, "of a later release"]), encode({"a": 1}), b"\xc1"])
def test_records_of_another_layout_are_damage(payload: bytes) -> None:
    """They are counted, so that nobody deletes what a later release wrote."""
    segment = reader(frame(payload) + WHOLE)
    assert list(segment) == RECORDS
    assert segment.damaged == len(payload)


def test_an_open_segment_is_closed_when_its_writer_is_gone(tmp_path: Path) -> None:
    """A lock tells; it ends with the process."""
    path = tmp_path / "1.open"
    path.write_bytes(WHOLE)
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert closed_segments(tmp_path) == []
        assert segments(tmp_path) == [path]
    assert closed_segments(tmp_path) == segments(tmp_path) == [tmp_path / "1.log"]


def test_an_empty_segment_goes(tmp_path: Path) -> None:
    """Its writer died before it said a word."""
    (tmp_path / "1.open").touch()
    assert closed_segments(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
