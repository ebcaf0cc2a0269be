"""Segments of the prediction log: how a record is framed, and reading that a torn or damaged one does not stop.

A frame is a mark, the payload's length and CRC-32, and the payload in MessagePack. A segment begins with its head.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final
from zlib import crc32

import msgspec

from contracts.predictions import Prediction, SegmentHead

MAX_PAYLOAD: Final = 1 << 22  # a request of 512 trips with the longest ids has a tenth of it
_MARK: Final = b"\xc1TP\n"  # MessagePack never uses 0xc1
_HEADER: Final = struct.Struct("<4sII")
_CHUNK: Final = 1 << 20
_DECODER: Final = msgspec.msgpack.Decoder(SegmentHead | Prediction)


def frame(payload: bytes) -> bytes:
    """Frame an encoded record."""
    return _HEADER.pack(_MARK, len(payload), crc32(payload)) + payload


def frame_head(head: SegmentHead) -> bytes:
    """Frame what a segment begins with."""
    return frame(msgspec.msgpack.encode(head))


class SegmentReader:
    """Iterates over the predictions of one segment; memory does not grow with it.

    `torn` are the bytes at the end that make no whole record, which is how a killed writer leaves them; `damaged` are
    bytes before a good record, and records that are not of a layout this release knows. With `containing`, only records
    whose encoding has these bytes are decoded. With `start`, an `end` of an earlier reading, it goes on from there,
    without a head.
    """

    def __init__(self, file: BinaryIO, containing: bytes = b"", start: int = 0) -> None:
        self._file = file
        self._containing = containing
        self.end = start  # of the last whole record that was read, in bytes
        self.head: SegmentHead | None = None
        self.torn = 0
        self.damaged = 0

    def __iter__(self) -> Iterator[Prediction]:
        """Good records in order."""
        for payload in self._payloads():
            if self.head and self._containing not in payload:
                continue
            try:
                record = _DECODER.decode(payload)
            except msgspec.DecodeError:
                self.damaged += len(payload)
                continue
            if isinstance(record, SegmentHead):
                self.head = record
            else:
                yield record

    def _payloads(self) -> Iterator[bytes]:
        buffer, at, bad, ended = b"", 0, 0, False
        origin = self.end  # of the buffer in the file
        if origin:
            self._file.seek(origin)
        while True:
            end = _frame_end(buffer, at)
            if not ended and end > len(buffer):
                chunk = self._file.read(max(_CHUNK, end - len(buffer)))
                ended = not chunk
                buffer, at, origin = buffer[at:] + chunk, 0, origin + at
                continue
            if at == len(buffer):
                self.torn = bad
                return
            payload = _payload(buffer, at, end)
            if payload is None:  # go on at the next mark
                mark = buffer.find(_MARK, at + 1)
                resume = mark if mark >= 0 else max(at + 1, len(buffer) if ended else len(buffer) - len(_MARK) + 1)
                bad, at = bad + resume - at, resume
                continue
            self.damaged, bad, at = self.damaged + bad, 0, end
            self.end = origin + end
            yield payload


def _frame_end(buffer: bytes, at: int) -> int:
    """Where the frame at a position ends by its own account; the end of its header where that is no header."""
    end = at + _HEADER.size
    if end > len(buffer):
        return end
    mark, length, _ = _HEADER.unpack_from(buffer, at)
    return end + length if mark == _MARK and length <= MAX_PAYLOAD else end


def _payload(buffer: bytes, at: int, end: int) -> bytes | None:
    if end > len(buffer):
        return None
    mark, length, checksum = _HEADER.unpack_from(buffer, at)
    payload = buffer[at + _HEADER.size : end]
    return payload if mark == _MARK and len(payload) == length and crc32(payload) == checksum else None
