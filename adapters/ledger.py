"""Versioned documents, a hash-chained journal, leases and an outbox in SQL: what a controller must not lose.

A document changes by compare-and-set on its revision, in one transaction with the journal's entries about it; so either
both are there or neither, whenever the process dies, and two writers never both win. SQLite or PostgreSQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from adapters.database import Database
from contracts.errors import TandemError

OUTBOX_LIMIT: Final = 1000
_ALONE: Final = "tandem.ledger"  # the chain has one end
_GENESIS: Final = "0" * 64
_TABLES: Final = sa.MetaData()
_DOCUMENTS: Final = sa.Table(
    "documents",
    _TABLES,
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("slot", sa.String(128), unique=True),  # held by at most one document; NULL holds none
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
_JOURNAL: Final = sa.Table(
    "journal",
    _TABLES,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
_LEASES: Final = sa.Table(
    "leases",
    _TABLES,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)
_OUTBOX: Final = sa.Table(
    "outbox",
    _TABLES,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # the journal's
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", sa.Double, nullable=False),
)


class Document(msgspec.Struct, frozen=True):
    """A body under a key; revision 1 is new, any other must follow what is stored."""

    key: str
    revision: int
    body: str
    slot: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """Who did what to what, why, and on which evidence (JSON); `at` is epoch seconds."""

    at: float
    actor: str
    action: str
    subject: str
    reason: str
    evidence: str = "{}"


class Record(msgspec.Struct, frozen=True):
    """An entry in its place in the chain: `hash` covers the entry, its number and the hash before it."""

    seq: int
    entry: Entry
    previous: str
    hash: str


class Message(msgspec.Struct, frozen=True):
    """A record that the world has yet to be told of."""

    record: Record
    attempts: int


class Conflict(TandemError):
    """Somebody else was faster."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}")
        self.key = key


class JournalBroken(TandemError):
    """The journal was changed behind its back."""

    def __init__(self, seq: int, problem: str) -> None:
        super().__init__(f"journal entry {seq}: {problem}")
        self.seq = seq


class Ledger:
    """One database. Calls block: run them on a thread where an event loop waits. Each may raise Unavailable."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, _TABLES)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def get(self, key: str) -> Document | None:
        """The document of a key."""
        return next(iter(self._documents(_DOCUMENTS.c.key == key)), None)

    def in_slot(self, slot: str) -> Document | None:
        """The document that holds a slot."""
        return next(iter(self._documents(_DOCUMENTS.c.slot == slot)), None)

    def under(self, prefix: str) -> list[Document]:
        """Documents whose key begins so, by key."""
        return self._documents(_DOCUMENTS.c.key.startswith(prefix, autoescape=True))

    def commit(self, documents: Sequence[Document], entries: Sequence[Entry]) -> list[Record]:
        """Write all or nothing, documents in the order given; raises Conflict where one is not the next revision."""
        with self._writing() as connection:
            for document in documents:
                _put(connection, document)
            return [_append(connection, entry) for entry in entries]

    def journal(self, after: int = 0, limit: int = 1000) -> list[Record]:
        """Records by number."""
        return self._records(sa.select(_JOURNAL).where(_JOURNAL.c.seq > after).order_by(_JOURNAL.c.seq).limit(limit))

    def newest(self, limit: int, subject: str | None = None) -> list[Record]:
        """The last records, of one subject or of all, oldest first."""
        of = sa.true() if subject is None else _JOURNAL.c.subject == subject
        return self._records(sa.select(_JOURNAL).where(of).order_by(_JOURNAL.c.seq.desc()).limit(limit))[::-1]

    def verify(self) -> int:
        """Check the whole chain and return its length; raises JournalBroken at the first record that does not fit.

        A cut-off tail can't be seen from inside: compare the last hash with one that a webhook carried away.
        """
        seq, previous = 0, _GENESIS
        while part := self.journal(after=seq):
            for record in part:
                if record.seq != seq + 1:
                    raise JournalBroken(seq + 1, "is missing")
                if record.previous != previous or record.hash != _hash(record.seq, record.entry, previous):
                    raise JournalBroken(record.seq, "does not fit its hash")
                seq, previous = record.seq, record.hash
        return seq

    def lease(self, name: str, holder: str, now: float, seconds: float) -> bool:
        """Take or prolong a lease; False while somebody else's lasts."""
        free = sa.or_(_LEASES.c.holder == holder, _LEASES.c.until <= now)
        taken = {"holder": holder, "until": now + seconds}
        with self._writing() as connection:
            held = connection.execute(sa.select(_LEASES.c.name).where(_LEASES.c.name == name)).first()
            if held is None:
                connection.execute(_LEASES.insert().values(name=name, **taken))
                return True
            return connection.execute(_LEASES.update().where(_LEASES.c.name == name, free).values(taken)).rowcount == 1

    def holder(self, name: str, now: float) -> str | None:
        """Who has a lease."""
        query = sa.select(_LEASES.c.holder).where(_LEASES.c.name == name, _LEASES.c.until > now)
        with self._database.reading() as connection:
            found: str | None = connection.execute(query).scalar()
        return found

    def release(self, name: str, holder: str) -> None:
        """Give a lease back at once instead of letting it run out."""
        with self._writing() as connection:
            connection.execute(_LEASES.delete().where(_LEASES.c.name == name, _LEASES.c.holder == holder))

    def due(self, now: float, limit: int = 20) -> list[Message]:
        """What the outbox holds that may be sent now, oldest first."""
        query = (
            sa.select(_JOURNAL, _OUTBOX.c.attempts)
            .join(_OUTBOX, _OUTBOX.c.seq == _JOURNAL.c.seq)
            .where(_OUTBOX.c.due_at <= now)
            .order_by(_OUTBOX.c.seq)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [Message(_record(row), row["attempts"]) for row in connection.execute(query).mappings()]

    def sent(self, seq: int) -> None:
        """Forget a message: it arrived, or was tried often enough."""
        with self._writing() as connection:
            connection.execute(_OUTBOX.delete().where(_OUTBOX.c.seq == seq))

    def retry(self, seq: int, due_at: float) -> None:
        """Put a message off."""
        later = {"attempts": _OUTBOX.c.attempts + 1, "due_at": due_at}
        with self._writing() as connection:
            connection.execute(_OUTBOX.update().where(_OUTBOX.c.seq == seq).values(later))

    def _documents(self, condition: Any) -> list[Document]:
        query = sa.select(_DOCUMENTS).where(condition).order_by(_DOCUMENTS.c.key)
        with self._database.reading() as connection:
            return [Document(**row) for row in connection.execute(query).mappings()]

    def _records(self, query: Any) -> list[Record]:
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._database.writing(_ALONE)


def _put(connection: sa.Connection, document: Document) -> None:
    values = msgspec.structs.asdict(document)
    try:
        if document.revision == 1:
            connection.execute(_DOCUMENTS.insert().values(values))
            return
        before = sa.and_(_DOCUMENTS.c.key == document.key, _DOCUMENTS.c.revision == document.revision - 1)
        if connection.execute(_DOCUMENTS.update().where(before).values(values)).rowcount != 1:
            raise Conflict(document.key, f"revision {document.revision} does not follow what is stored")
    except sa.exc.IntegrityError as error:
        raise Conflict(document.key, f"exists already, or slot {document.slot!r} is taken") from error


def _append(connection: sa.Connection, entry: Entry) -> Record:
    last = connection.execute(sa.select(_JOURNAL.c.seq, _JOURNAL.c.hash).order_by(_JOURNAL.c.seq.desc()).limit(1))
    before, previous = last.one_or_none() or (0, _GENESIS)
    seq = before + 1
    record = Record(seq, entry, previous, _hash(seq, entry, previous))
    row = {**msgspec.structs.asdict(entry), "seq": seq, "previous": previous, "hash": record.hash}
    connection.execute(_JOURNAL.insert().values(row))
    connection.execute(_OUTBOX.insert().values(seq=seq, attempts=0, due_at=entry.at))
    connection.execute(_OUTBOX.delete().where(_OUTBOX.c.seq <= seq - OUTBOX_LIMIT))
    return record


def _hash(seq: int, entry: Entry, previous: str) -> str:
    return hashlib.sha256(previous.encode() + msgspec.json.encode([seq, *msgspec.structs.astuple(entry)])).hexdigest()


def _record(row: Any) -> Record:
    entry = Entry(*(row[name] for name in Entry.__struct_fields__))
    return Record(row["seq"], entry, row["previous"], row["hash"])
