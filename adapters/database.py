"""One SQL database, as all who keep state in it share it: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from contracts.errors import TandemError, Unavailable

_BUSY_MS: Final = 5000


class BadStateUrl(TandemError):
    """The database's URL can't be used. Only its scheme is told: the rest may hold a password."""

    def __init__(self, url: str, error: Exception) -> None:
        scheme, mark, _ = url.partition("://")
        cause = f"; {error}" if isinstance(error, ImportError) else ""
        super().__init__(
            f"TANDEM_STATE_URL ({scheme + mark if mark else 'no scheme'}…): must be sqlite:///path,"
            f" postgresql://… or postgresql+psycopg2://…{cause}"
        )


class Database:
    """Tables and transactions. Calls block: run them on a thread where an event loop waits.

    A database that is locked, gone, full or broken is Unavailable, an outage that callers know how to wait for; who
    means something by a broken constraint catches it within the transaction.
    """

    def __init__(self, url: str, tables: sa.MetaData) -> None:
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        except (sa.exc.ArgumentError, ImportError) as error:  # an unknown database, or one whose driver is not here
            raise BadStateUrl(url, error) from None
        self._sqlite = self._engine.dialect.name == "sqlite"
        self.insert: Any = sqlite.insert if self._sqlite else postgresql.insert
        """An insert that knows of conflicts."""
        if self._sqlite:
            _keep_private(self._engine.url.database)
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
        with self.writing("tandem.tables") as connection:  # two processes may start at once
            tables.create_all(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read with. Raises Unavailable."""
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, alone: str = "") -> Iterator[sa.Connection]:
        """A transaction; of those with the same name one at a time, from their first reads on. Raises Unavailable."""
        with _translated(), self._engine.begin() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif alone:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(alone))))
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise Unavailable("state database", "failed", str(error.orig)) from error


def _keep_private(database: str | None) -> None:
    """What is kept is the owner's only; SQLite gives its -wal and -shm files the mode of the database."""
    if database and not database.startswith((":memory:", "file:")):
        path = Path(database)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # `writing` begins its transactions itself
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged outcome survives a power cut
    cursor.close()
