"""The hot end: what it takes, what it drops and counts, and what a killed process leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adapters.prediction_segments import frame
from adapters.segment_folder import closed_segments, segments
from adapters.segment_writer import SegmentLimits
from serving.prediction_log import LogLimits, PredictionLog
from tests.fakes import FakeClock
from tests.some_predictions import HEAD, prediction, read

SIZE = len(frame(msgspec.msgpack.encode(prediction(0))))


def log(folder: Path, **limits: object) -> PredictionLog:
    """A log whose thread has not been started."""
    return PredictionLog(folder, HEAD, LogLimits(**limits), FakeClock())  # type: ignore[arg-type]


def numbers(folder: Path) -> list[str]:
    """The request ids on disk, in order."""
    return [record.request_id for path in segments(folder) for record in read(path)]


def ids(*wanted: int) -> list[str]:
    """Request ids by number."""
    return [f"request-{i}" for i in wanted]


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """And leaves a closed segment; what comes later is dropped and counted."""
    predictions = log(tmp_path)
    for i in range(3):
        predictions.append(prediction(i))
    assert predictions.records == 0
    predictions.close()
    predictions.append(prediction(3))
    assert [read(path) for path in closed_segments(tmp_path)] == [[prediction(i) for i in range(3)]]
    assert (predictions.records, predictions.dropped_memory, predictions.dropped_disk) == (3, 1, 0)
    assert predictions.bytes == sum(path.stat().st_size for path in segments(tmp_path))


def test_a_full_buffer_drops_the_new(tmp_path: Path) -> None:
    """The bound is on bytes; what was written makes room again."""
    predictions = log(tmp_path, memory_bytes=3 * SIZE)
    for i in range(5):
        predictions.append(prediction(i))
    predictions.flush()
    predictions.append(prediction(5))
    predictions.close()
    assert numbers(tmp_path) == ids(0, 1, 2, 5)
    assert (predictions.records, predictions.dropped_memory, predictions.dropped_disk) == (4, 2, 0)


def test_what_a_disk_refuses_waits_while_there_is_room(tmp_path: Path) -> None:
    """A short outage loses nothing; a long one drops the new, which are told from those of a full buffer."""
    folder = tmp_path / "predictions"
    folder.touch()  # no folder can be made here
    predictions = log(folder, memory_bytes=4 * SIZE)
    predictions.append(prediction(0))
    predictions.flush()
    for i in range(1, 6):
        predictions.append(prediction(i))
    predictions.flush()
    assert (predictions.records, predictions.dropped_disk, predictions.write_errors) == (0, 2, 2)
    folder.unlink()
    predictions.flush()
    predictions.append(prediction(6))
    predictions.close()
    assert numbers(folder) == ids(0, 1, 2, 3, 6)
    assert (predictions.records, predictions.dropped_memory, predictions.dropped_disk) == (5, 0, 2)


def test_a_disk_that_never_comes_back(tmp_path: Path) -> None:
    """Closing counts as dropped what could not be written; every record is in one count."""
    (tmp_path / "predictions").touch()
    predictions = log(tmp_path / "predictions", memory_bytes=2 * SIZE)
    for i in range(5):
        predictions.append(prediction(i))
    predictions.close()
    assert (predictions.records, predictions.dropped_memory, predictions.dropped_disk) == (0, 3, 2)


def test_the_bound_on_disk(tmp_path: Path) -> None:
    """Is no error of writing."""
    predictions = log(tmp_path, memory_bytes=2 * SIZE, segments=SegmentLimits(disk_bytes=10))
    for i in range(2):
        predictions.append(prediction(i))
    predictions.flush()
    predictions.append(prediction(2))
    predictions.close()
    assert (predictions.records, predictions.dropped_disk, predictions.write_errors) == (0, 3, 0)


def test_many_records_are_written_in_parts(tmp_path: Path) -> None:
    """In order, and a part that is refused keeps its place."""
    predictions = log(tmp_path, memory_bytes=1 << 30)
    large = [prediction(i, features=bytes(300_000)) for i in range(20)]
    for record in large:
        predictions.append(record)
    predictions.close()
    assert [record for path in segments(tmp_path) for record in read(path)] == large


def test_a_log_that_no_start_was_made_of_does_not_wait(tmp_path: Path) -> None:
    """Importing and building do nothing: no folder before there is a record."""
    predictions = log(tmp_path / "predictions")
    predictions.flush()
    predictions.close()
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, time
from pathlib import Path
from serving.prediction_log import PredictionLog
from tests.some_predictions import HEAD, prediction
log = PredictionLog(Path(sys.argv[1]), HEAD)
log.start()
for number in range(1_000_000):
    log.append(prediction(number, at=time.time()))
    print(number, time.time(), flush=True)
    time.sleep(0.0005)
"""


def test_a_killed_process_loses_no_more_than_the_last_second(tmp_path: Path) -> None:
    """SIGKILL, not a word of farewell: what was appended a second before is there, once each and in order."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with writer:
        assert writer.stdout
        said: list[list[str]] = []
        for line in writer.stdout:
            said.append(line.split())
            if float(said[-1][1]) > float(said[0][1]) + 2.2:
                break
        killed_at = time.time()
        writer.send_signal(signal.SIGKILL)
        said += [line.split() for line in writer.stdout if line.endswith("\n")]
    found = [record.request_id for path in closed_segments(tmp_path) for record in read(path)]
    appended = ids(*(int(number) for number, at in said if float(at) < killed_at - 1.0))
    assert found == ids(*range(len(found)))
    assert len(found) >= len(appended) > 100


def test_appending_takes_microseconds(tmp_path: Path) -> None:
    """A guard against a slow path, far above what a quiet machine needs (1.5 µs for a trip, 11 µs for 32)."""
    predictions = log(tmp_path, memory_bytes=1 << 30)
    record = prediction(0, trips=32, features=bytes(32 * 40 * 4), ages=bytes(32 * 13 * 4))
    took = []
    for _ in range(500):
        began = time.perf_counter()
        predictions.append(record)
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 200e-6


@pytest.mark.parametrize("changes", [{"request_id": "\ud800"}, {"features": np.zeros(3)}])
def test_a_record_that_cannot_be_encoded_is_counted(tmp_path: Path, changes: dict[str, object]) -> None:
    """The answer goes out whatever is wrong with its record."""
    predictions = log(tmp_path)
    predictions.append(prediction(0, **changes))
    predictions.append(prediction(1))
    predictions.close()
    assert numbers(tmp_path) == ids(1)
    assert (predictions.records, predictions.refused) == (1, 1)
