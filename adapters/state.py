"""Durable state in SQL: route tables, outcomes, the stack's secret. SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from adapters.database import Database
from contracts.errors import NotFound, TandemError
from contracts.messages import Outcome
from contracts.outcomes import KeptOutcome
from contracts.routes import RouteTable

_TABLES: Final = sa.MetaData()
# Append only: the highest generation is in force, and the primary key is the compare-and-set.
_ROUTES: Final = sa.Table(
    "route_tables",
    _TABLES,
    sa.Column("model", sa.String(63), primary_key=True),
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
)
_OUTCOMES: Final = sa.Table(
    "outcomes",
    _TABLES,
    sa.Column("request_id", sa.String(128), primary_key=True),
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("event", sa.String(16), primary_key=True),
    sa.Column("at", sa.Double, nullable=False),  # epoch seconds
    sa.Column("actual_s", sa.Double),
    sa.Column("received_at", sa.Double, nullable=False),
)
_SECRETS: Final = sa.Table(
    "secrets", _TABLES, sa.Column("name", sa.String(63), primary_key=True), sa.Column("value", sa.LargeBinary)
)


class StaleGeneration(TandemError):
    """Somebody else wrote a route table first."""

    def __init__(self, model: str, wanted: int, current: int) -> None:
        super().__init__(f"route table of {model!r}: generation {wanted} is not the next one, {current + 1}")
        self.current = current


class State:
    """One database. Calls block: run them on a thread where an event loop waits."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, _TABLES)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def route_table(self, model: str) -> RouteTable:
        """The table in force; raises NotFound or Unavailable."""
        query = sa.select(_ROUTES.c.document).where(_ROUTES.c.model == model).order_by(_ROUTES.c.generation.desc())
        with self._database.reading() as connection:
            document = connection.execute(query.limit(1)).scalar()
        if document is None:
            raise NotFound("route table", model, "publish a version first")
        return msgspec.json.decode(document, type=RouteTable)

    def route_tables(self, model: str, newest: int = 1000) -> list[RouteTable]:
        """The newest tables that were ever in force, oldest first; raises Unavailable."""
        query = sa.select(_ROUTES.c.document).where(_ROUTES.c.model == model).order_by(_ROUTES.c.generation.desc())
        with self._database.reading() as connection:
            documents = connection.execute(query.limit(newest)).scalars().all()
        return [msgspec.json.decode(document, type=RouteTable) for document in reversed(documents)]

    def put_route_table(self, table: RouteTable) -> None:
        """Put a table in force; its generation must be the next one, else StaleGeneration is raised."""
        current = sa.select(sa.func.coalesce(sa.func.max(_ROUTES.c.generation), 0)).where(
            _ROUTES.c.model == table.model
        )
        row = {"model": table.model, "generation": table.generation, "document": msgspec.json.encode(table).decode()}
        with self._database.writing() as connection:
            found = connection.execute(current).scalar_one()
            if table.generation != found + 1:
                raise StaleGeneration(table.model, table.generation, found)
            try:
                connection.execute(_ROUTES.insert().values(row))
            except sa.exc.IntegrityError as error:  # another has written it since
                raise StaleGeneration(table.model, table.generation, table.generation) from error

    def add_outcomes(self, outcomes: Sequence[Outcome], received_at: float) -> int:
        """Keep outcomes durably; returns how many were new. One of the same request, trip and event changes nothing.

        Raises Unavailable where the database is away or stays locked.
        """
        rows = [
            {
                "request_id": outcome.request_id,
                "id": outcome.id,
                "event": outcome.event,
                "at": outcome.at.timestamp(),
                "actual_s": outcome.actual_s if isinstance(outcome.actual_s, float) else None,
                "received_at": received_at,
            }
            for outcome in outcomes
        ]
        if not rows:
            return 0
        statement = self._database.insert(_OUTCOMES).on_conflict_do_nothing().returning(_OUTCOMES.c.event)
        with self._database.writing() as connection:
            return len(connection.execute(statement, rows).all())

    def outcomes_between(self, first_request: str, last_request: str) -> list[KeptOutcome]:
        """Everything kept of requests from one id to another; raises Unavailable.

        Ids are of one length, of digits and lower-case letters: they sort by time under every collation.
        """
        columns = [_OUTCOMES.c[name] for name in KeptOutcome.__struct_fields__]
        query = sa.select(*columns).where(_OUTCOMES.c.request_id.between(first_request, last_request))
        with self._database.reading() as connection:
            return [KeptOutcome(*row) for row in connection.execute(query)]

    def secret(self, name: str) -> bytes:
        """32 random bytes that all who share the database share; made by whoever asks first. Raises Unavailable."""
        value = {"name": name, "value": secrets.token_bytes(32)}
        with self._database.writing() as connection:
            connection.execute(self._database.insert(_SECRETS).values(value).on_conflict_do_nothing())
            known = connection.execute(sa.select(_SECRETS.c.value).where(_SECRETS.c.name == name))
            found: bytes = known.scalar_one()
        return found
