"""What is to be published, kept in a file until the broker has it: a producer is done when the disk is.

SQLite with a write-ahead log that is synced before `put` returns. Any number of processes may put; one at a time sends,
in the order of the puts. What a broker took without saying so is sent again: the effects of events may be repeated.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from adapters.streams import Entry, Stream
from contracts.errors import Unavailable

_BUSY_S: Final = 5.0
_MOST: Final = 1000  # messages a publication
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL, payload BLOB NOT NULL
)
"""


class Waiting(NamedTuple):
    """A message that the broker has not acknowledged; `at` is when it was put (epoch seconds)."""

    seq: int
    at: float
    topic: str
    key: str
    payload: bytes


class Outbox:
    """One file. A full one refuses; what it has it keeps."""

    def __init__(self, path: Path, *, max_messages: int = 1_000_000) -> None:
        self._path, self._max = path, max_messages
        self._lock = threading.Lock()
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.execute(_TABLE)

    def put(self, topic: str, entries: Sequence[Entry]) -> None:
        """Keep entries, all or none; after the return they are on disk. Raises Unavailable."""
        now = time.time()
        rows = [(now, topic, key, payload) for key, payload in entries]
        with self._writing() as database:
            if self._waiting(database) + len(rows) > self._max:
                detail = f"{self._path} holds as many messages as it may, {self._max}: the broker has not taken them"
                raise Unavailable("outbox", "outbox_full", detail)
            database.executemany("INSERT INTO outbox (at, topic, key, payload) VALUES (?, ?, ?, ?)", rows)

    def first(self, most: int = _MOST) -> list[Waiting]:
        """The oldest messages, in order. Raises Unavailable."""
        query = "SELECT seq, at, topic, key, payload FROM outbox ORDER BY seq LIMIT ?"
        with self._lock, _translated(self._path):
            return [Waiting(*row) for row in self._database.execute(query, (most,))]

    def sent(self, last: int) -> None:
        """Forget what was put up to a number: the broker has it. Raises Unavailable."""
        with self._writing() as database:
            database.execute("DELETE FROM outbox WHERE seq <= ?", (last,))

    def waiting(self) -> int:
        """How many messages the broker does not have. Raises Unavailable."""
        with self._lock, _translated(self._path):
            return self._waiting(self._database)

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether this is the only one that sends: two would mix up the order."""
        with self._path.with_suffix(".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @staticmethod
    def _waiting(database: sqlite3.Connection) -> int:
        # Numbers are given without a gap and forgotten from the first on: no need to count a million.
        first, last = database.execute("SELECT min(seq), max(seq) FROM outbox").fetchone()
        return 0 if first is None else int(last - first + 1)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated(self._path):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # it may have done so by itself, as on a full disk
                    self._database.execute("ROLLBACK")
                raise


def send(outbox: Outbox, stream: Stream) -> list[Waiting]:
    """Publish the oldest messages in their order and return them; none where another process is sending.

    Raises Unavailable; what the broker has by then is sent again.
    """
    done: list[Waiting] = []
    with outbox.sending() as alone:
        for topic, group in groupby(outbox.first() if alone else (), key=lambda one: one.topic):
            run = list(group)
            stream.publish(topic, [(one.key, one.payload) for one in run])
            outbox.sent(run[-1].seq)
            done += run
    return done


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """A disk that is full or gone, or a file that is none of ours, is an outage that callers know how to wait for."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        why = f"{path}: {os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error}"
        raise Unavailable("outbox", "outbox_failed", why) from error
