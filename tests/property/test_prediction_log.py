"""The prediction log's round trip: what is logged is what is read, from segments and from Parquet."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters.prediction_segments import SegmentReader, frame, frame_head
from contracts.predictions import HASH_CHARACTERS, Prediction
from pipelines.compaction import compact
from pipelines.partition_files import parquet_files
from pipelines.prediction_records import records
from tests.some_predictions import HEAD

words = st.text(st.sampled_from("aZ0-_ /'\"\0\nß東🚕"), max_size=20)
times = st.integers(0, 4_000_000_000 - 1).map(float)


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    """A record as serving makes them, whatever the numbers in its matrices."""
    n = draw(st.integers(1, 4))

    def matrix(width: int) -> bytes:
        values = draw(arrays(np.float32, (n, width), elements=st.floats(width=32, allow_nan=True)))
        return values.astype("<f4").tobytes()

    def strings() -> list[str]:
        return draw(st.lists(words, min_size=n, max_size=n))

    fallback = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return Prediction(
        request_id=draw(st.uuids()).hex,
        at=draw(times),
        kind=draw(st.sampled_from(["eta", "infer", "shadow"])),
        unit=draw(words),
        generation=draw(st.integers(0, 2**40)),
        version=draw(st.integers(1, 2**31)),
        arm=draw(words),
        schema_hash=HEAD.schema_hash[:HASH_CHARACTERS],
        ids=strings(),
        pickup=strings(),
        dropoff=strings(),
        starts=np.array(draw(st.lists(times, min_size=n, max_size=n)), dtype="<f8").tobytes(),
        features=matrix(len(HEAD.features)) if draw(st.booleans()) else b"",
        ages=matrix(len(HEAD.ages)) if draw(st.booleans()) else b"",
        answers=matrix(3),
        fallback=bytes(fallback) if any(fallback) else b"",
        reason=draw(words) if any(fallback) else "",
        server_ms=draw(st.floats(0, 1e6, width=32)),
        model_ms=draw(st.floats(0, 1e6, width=32)),
    )


logs = st.lists(predictions(), max_size=5)


def encoded(log: list[Prediction]) -> bytes:
    """A segment."""
    return frame_head(HEAD) + b"".join(frame(msgspec.msgpack.encode(record)) for record in log)


@given(logs)
def test_segments_keep_every_bit(log: list[Prediction]) -> None:
    """Records in order, nothing torn."""
    segment = SegmentReader(io.BytesIO(encoded(log)))
    assert list(segment) == log
    assert segment.torn == segment.damaged == 0


@given(logs, st.data())
def test_a_cut_anywhere_gives_a_beginning(log: list[Prediction], data: st.DataObject) -> None:
    """Never a wrong record, never one out of order."""
    whole = encoded(log)
    segment = SegmentReader(io.BytesIO(whole[: data.draw(st.integers(0, len(whole)))]))
    found = list(segment)
    assert found == log[: len(found)]
    assert segment.damaged == 0


@given(logs, st.data())
def test_a_flipped_bit_costs_one_record(log: list[Prediction], data: st.DataObject) -> None:
    """Every other one is read; with the head gone, all are."""
    whole = bytearray(encoded(log))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    segment = SegmentReader(io.BytesIO(bytes(whole)))
    found = list(segment)
    assert len(found) >= len(log) - 1
    assert [record for record in log if record in found] == found
    assert segment.damaged + segment.torn > 0


@settings(max_examples=40, deadline=None)
@given(logs.filter(bool))
def test_parquet_keeps_every_bit(log: list[Prediction]) -> None:
    """NaN, infinities, odd letters, null against NaN: rows become the records they came from."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "1.log").write_bytes(encoded(log))
        assert compact(folder, keep_bytes=1 << 40).damaged == 0
        found = [
            record for path in parquet_files(folder) for _, record in records(pq.read_table(path, partitioning=None))
        ]
    assert sorted(found, key=str) == sorted(log, key=str)
