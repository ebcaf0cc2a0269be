"""The folder of the prediction log: which segments are there, and which of them nobody writes to any more.

While its writer lives it holds a lock on ``<name>.open``; what is closed is ``<name>.log``.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

OPEN: Final = ".open"
CLOSED: Final = ".log"


def segments(folder: Path) -> list[Path]:
    """Every segment that can be read, closed or not, oldest first."""
    return sorted(path for path in folder.glob("*") if path.suffix in {OPEN, CLOSED})


def closed_segments(folder: Path) -> list[Path]:
    """Segments that nobody writes to any more, oldest first; one whose writer died is closed here."""
    for path in folder.glob(f"*{OPEN}"):
        _close_if_dead(path)
    return sorted(folder.glob(f"*{CLOSED}"))


def lock_segment(descriptor: int, path: Path) -> bool:
    """Lock an open segment; False where it is another's, or is no longer what the path says."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _close_if_dead(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # closed by its writer meanwhile
        return
    try:
        # Under the lock: a writer that has just made the file and not locked it yet sees that it is gone.
        if lock_segment(descriptor, path):
            path.rename(path.with_suffix(CLOSED)) if os.fstat(descriptor).st_size else path.unlink()
    finally:
        os.close(descriptor)
