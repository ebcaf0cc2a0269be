"""Durable state: route tables by compare-and-set, outcomes once."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.database import BadStateUrl
from adapters.state import StaleGeneration, State
from contracts.errors import NotFound, Unavailable
from contracts.messages import Outcome
from contracts.routes import RouteTable

AT = datetime(2026, 1, 1, tzinfo=UTC)


def table(generation: int, champion: int = 1) -> RouteTable:
    """A route table."""
    return RouteTable(model="eta", generation=generation, champion=champion)


def outcome(name: str = "a", event: str = "booked") -> Outcome:
    """An outcome of one request."""
    return Outcome(request_id="r", id=name, event=event, at=AT)  # type: ignore[arg-type]


def test_the_highest_generation_is_in_force(url: str) -> None:
    """Tables follow one another, and another process sees the last."""
    state = State(url)
    with pytest.raises(NotFound, match="eta"):
        state.route_table("eta")
    state.put_route_table(table(1))
    state.put_route_table(table(2, champion=5))
    assert State(url).route_table("eta") == table(2, champion=5)


@pytest.mark.parametrize("generation", [1, 3])
def test_a_generation_must_be_the_next(url: str, generation: int) -> None:
    """A table that is not the next generation is refused, by the number it must have."""
    state = State(url)
    state.put_route_table(table(1))
    with pytest.raises(StaleGeneration, match="2"):
        state.put_route_table(table(generation))


def test_of_many_writers_one_wins(url: str) -> None:
    """Eight processes' worth of writers of one generation: one table is kept, seven are told."""
    State(url)

    def write(champion: int) -> bool:
        try:
            State(url).put_route_table(table(1, champion))
        except StaleGeneration:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(1, 9))) == 1


def test_an_outcome_counts_once(url: str) -> None:
    """The same request, trip and event is kept once, within a batch as well as across them."""
    state = State(url)
    assert state.add_outcomes([outcome("a"), outcome("b"), outcome("a"), outcome("a", "cancelled")], 1.0) == 3
    assert State(url).add_outcomes([outcome("a"), outcome("c")], 2.0) == 1
    assert state.add_outcomes([], 3.0) == 0


def test_a_secret_is_shared_and_stays(url: str) -> None:
    """Whoever opens the database finds the same bytes under one name, and others under another."""
    first = State(url).secret("a")
    assert len(first) == 32
    assert State(url).secret("a") == first
    assert State(url).secret("b") != first


def test_a_locked_database_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that holds the database longer than we wait is an outage, not a bug."""
    monkeypatch.setattr("adapters.database._BUSY_MS", 1)
    state = State(f"sqlite:///{tmp_path / 'state.db'}")
    with sqlite3.connect(tmp_path / "state.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            state.add_outcomes([outcome()], 1.0)


@pytest.mark.parametrize("url", ["s3cret", "oracle9://:s3cret@db/x", "http:s3cret"])
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    """The message says what would do, and nothing that may be secret."""
    with pytest.raises(BadStateUrl, match="postgresql") as refused:
        State(url)
    assert "s3cret" not in str(refused.value)


def test_only_the_owner_may_read_the_database(tmp_path: Path) -> None:
    """Whatever the umask and the mode it had, and so for what SQLite writes beside it."""
    (tmp_path / "state.db").touch(mode=0o644)
    state = State(f"sqlite:///{tmp_path / 'state.db'}")
    state.put_route_table(table(1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
