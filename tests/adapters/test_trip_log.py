"""The log of counted trips: nothing twice, nothing spoiled by a kill, and never a reason to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from adapters.trip_log import TripLog
from adapters.trip_log_files import forget_hour, logged_hours, read_trips
from contracts.counted_trips import CountedTrip
from tests.fakes import FakeClock

ROOT = Path(__file__).parent.parent.parent
HOUR_US = 3_600_000_000
BASE = 500_000  # hours since the epoch


def trip(number: int, hour: float = 0.5) -> CountedTrip:
    """One that ended so many hours after BASE."""
    ended = round((BASE + hour) * HOUR_US)
    return CountedTrip(f"t{number}", ended - 600_000_000, ended, "4", "12", -123_456, 21_000_000)


def log_of(folder: Path) -> TripLog:
    """At the end of the hour."""
    return TripLog(folder, FakeClock((BASE + 1) * 3600.0))


def test_trips_come_back_each_once_by_when_they_ended(tmp_path: Path) -> None:
    """A file an hour; the same trip again is one, the same id with another end is another; both bounds are inside."""
    log = log_of(tmp_path)
    log.append([trip(1, 0.2), trip(2, 0.4), trip(3, 1.2)])
    log.append([trip(2, 0.4), trip(2, 0.6)])
    log.close()
    assert logged_hours(tmp_path) == [BASE, BASE + 1]
    assert list(read_trips(tmp_path, BASE * HOUR_US, (BASE + 2) * HOUR_US)) == [
        trip(1, 0.2),
        trip(2, 0.4),
        trip(2, 0.6),
        trip(3, 1.2),
    ]
    assert list(log.since(trip(2, 0.4).ended_us)) == [trip(2, 0.4), trip(2, 0.4), trip(2, 0.6), trip(3, 1.2)]
    forget_hour(tmp_path, BASE)
    assert logged_hours(tmp_path) == [BASE + 1]


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path) -> None:
    """Neither the one before nor what the next process appends; nor does somebody's note."""
    log = log_of(tmp_path)
    log.append([trip(1), trip(2)])
    log.close()
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-9])
    (tmp_path / "note.jsonl").write_text("mine\n")
    log.append([trip(3)])
    assert list(log.since(0 + BASE * HOUR_US)) == [trip(1), trip(3)]
    assert logged_hours(tmp_path) == [BASE]


def test_a_kill_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    """SIGKILL between two appends: the system has what was written."""
    code = (
        "import os, signal, sys; from pathlib import Path; from tests.adapters.test_trip_log import log_of, trip\n"
        "log = log_of(Path(sys.argv[1]))\n"
        "for i in range(50): log.append([trip(i)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert len(list(log_of(tmp_path).since(BASE * HOUR_US))) == 50


def test_a_disk_that_refuses_is_counted_and_tried_again(tmp_path: Path) -> None:
    """Where a file stands in the folder's place, trips go on without the log; afterwards they are in it again."""
    folder = tmp_path / "trips"
    folder.write_text("in the way")
    log = log_of(folder)
    log.append([trip(1), trip(2)])
    assert (log.missed, log.id) == (2, "")
    folder.unlink()
    log.append([trip(3)])
    assert log.missed == 2
    assert list(log.since(BASE * HOUR_US)) == [trip(3)]


def test_a_log_has_a_name_of_its_own(tmp_path: Path) -> None:
    """The same for all who open it; another folder has another."""
    assert log_of(tmp_path / "a").id == log_of(tmp_path / "a").id != log_of(tmp_path / "b").id
