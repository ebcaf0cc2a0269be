"""Rides that wait for a driver, and who drives to whom, in SQL: what must hold through the death of any process.

One row a ride. It waits, then it is decided once: a driver, or a reason why there is none. A driver belongs to at most
one ride that has not ended; the index says so, whoever writes. SQLite or PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final

import sqlalchemy as sa

from adapters.database import Database
from contracts.rides import DriverAssigned, NoDriver, Ride

KEPT_S: Final = 86_400.0  # how long an id is known after its ride has ended
_ALONE: Final = "tandem.rides"  # who is free is looked up in the same transaction
_ROWS_AT_ONCE: Final = 500
_TABLES: Final = sa.MetaData()
_RIDES: Final = sa.Table(
    "rides",
    _TABLES,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("request_id", sa.String(128), nullable=False),
    sa.Column("region", sa.Integer, nullable=False),
    sa.Column("content", sa.String(64), nullable=False),  # a hash of what was asked for
    sa.Column("lat", sa.Double, nullable=False),
    sa.Column("lon", sa.Double, nullable=False),
    sa.Column("zone", sa.String(16), nullable=False),
    sa.Column("asked_at", sa.Double, nullable=False),  # epoch seconds, as all that follow
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("driver", sa.String(128)),
    sa.Column("pickup_eta_s", sa.Double),
    sa.Column("reason", sa.String(63)),
    sa.Column("decided_at", sa.Double),
    sa.Column("held_until", sa.Double),
    sa.Column("ended_at", sa.Double),
)
_OPEN: Final = sa.and_(_RIDES.c.driver.is_not(None), _RIDES.c.ended_at.is_(None))
_WAITS: Final = _RIDES.c.decided_at.is_(None)
sa.Index("one_open_ride_a_driver", _RIDES.c.driver, unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
sa.Index("waiting_rides", _RIDES.c.region, _RIDES.c.asked_at, sqlite_where=_WAITS, postgresql_where=_WAITS)
sa.Index("ended_rides", _RIDES.c.ended_at)


class Rides:
    """One database. Calls block: run them on a thread where an event loop waits. Each may raise Unavailable."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, _TABLES)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def ask(self, rides: Sequence[Ride]) -> None:
        """Let rides wait; the same one again waits as long as it now says, one that is decided stays as it is."""
        rows = [{name: getattr(ride, name) for name in _RIDES.c.keys()} for ride in rides]  # noqa: SIM118 - columns
        insert = self._database.insert(_RIDES)
        same = sa.and_(_WAITS, _RIDES.c.content == insert.excluded.content, _RIDES.c.until < insert.excluded.until)
        again = insert.on_conflict_do_update(
            index_elements=[_RIDES.c.id], set_={"until": insert.excluded.until}, where=same
        )
        with self._writing() as connection:
            connection.execute(again, rows)

    def find(self, ids: Sequence[str]) -> list[Ride]:
        """The rides of these ids that there are."""
        found: list[Ride] = []
        with self._database.reading() as connection:
            for start in range(0, len(ids), _ROWS_AT_ONCE):
                query = sa.select(_RIDES).where(_RIDES.c.id.in_(ids[start : start + _ROWS_AT_ONCE]))
                found += [Ride(**row) for row in connection.execute(query).mappings()]
        return found

    def waiting(self, region: int, limit: int) -> list[Ride]:
        """Rides of a region that wait, the oldest first."""
        query = sa.select(_RIDES).where(_WAITS, _RIDES.c.region == region)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(_RIDES.c.asked_at, _RIDES.c.id).limit(limit)).mappings()
            return [Ride(**row) for row in rows]

    def busy(self, now: float) -> set[str]:
        """Drivers who belong to a ride."""
        query = sa.select(_RIDES.c.driver).where(_OPEN, _RIDES.c.held_until > now)
        with self._database.reading() as connection:
            return set(connection.execute(query).scalars())

    def decide(self, assigned: Sequence[DriverAssigned], refused: Sequence[NoDriver], now: float, hold_s: float) -> int:
        """Give rides their drivers, or the reason why there is none, where they still wait and the driver is free.

        All of it is there after this, or nothing is. Drivers whose time of `hold_s` is over are free before; what
        ended long ago is forgotten. Returns how many have a driver now.
        """
        with self._writing() as connection:
            over = _RIDES.update().where(_OPEN, _RIDES.c.held_until <= now)
            connection.execute(over.values(ended_at=now))
            connection.execute(_RIDES.delete().where(_RIDES.c.ended_at < now - KEPT_S))
            made = sum(_assign(connection, pair, now, hold_s) for pair in assigned)
            for refusal in refused:
                row = {"reason": refusal.reason, "decided_at": now, "ended_at": now}
                connection.execute(_RIDES.update().where(_RIDES.c.id == refusal.ride, _WAITS).values(row))
        return made

    def end(self, rides: Sequence[tuple[str, str]], now: float) -> int:
        """Free the drivers of rides by (request id, id), as these were answered; returns how many there were."""
        wanted = set(rides)
        ours = [ride.id for ride in self.find([name for _, name in rides]) if (ride.request_id, ride.id) in wanted]
        if not ours:
            return 0
        with self._writing() as connection:
            ended = _RIDES.update().where(_RIDES.c.id.in_(ours), _OPEN).values(ended_at=now)
            return connection.execute(ended).rowcount

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._database.writing(_ALONE)


def _assign(connection: sa.Connection, pair: DriverAssigned, now: float, hold_s: float) -> int:
    other = _RIDES.alias()
    taken = sa.exists().where(other.c.driver == pair.driver, other.c.ended_at.is_(None))
    row = {
        "driver": pair.driver,
        "pickup_eta_s": pair.pickup_eta_s,
        "decided_at": now,
        "held_until": now + hold_s,
    }
    return connection.execute(_RIDES.update().where(_RIDES.c.id == pair.ride, _WAITS, ~taken).values(row)).rowcount
