"""The ledger: all or nothing, one winner, a chain that shows tampering. On SQLite, PostgreSQL where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters import ledger as module
from adapters.ledger import Conflict, Document, Entry, Ledger
from contracts.errors import Unavailable


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """A ledger on an empty database."""
    made = Ledger(url)
    yield made
    made.close()


def entry(reason: str = "because") -> Entry:
    """Somebody did something."""
    return Entry(1.5, "olga", "pause", "eta-1", reason)


def test_the_newest_records_of_a_subject(ledger: Ledger) -> None:
    """Oldest first, of one subject or of all, no more than asked for."""
    for subject in ("eta-1", "eta-2", "eta-1", "eta-1"):
        ledger.commit([], [Entry(1.5, "olga", "pause", subject, "because")])
    assert [record.seq for record in ledger.newest(10)] == [1, 2, 3, 4]
    assert [record.seq for record in ledger.newest(2)] == [3, 4]
    assert [record.seq for record in ledger.newest(2, "eta-1")] == [3, 4]
    assert [record.seq for record in ledger.newest(9, "eta-1")] == [1, 3, 4]
    assert ledger.newest(9, "eta-3") == []


def test_a_lease_shows_its_holder(ledger: Ledger) -> None:
    """Until it ends or is given back."""
    assert ledger.holder("controller", 0.0) is None
    ledger.lease("controller", "a", 0.0, 5.0)
    assert (ledger.holder("controller", 4.9), ledger.holder("controller", 5.0)) == ("a", None)
    ledger.release("controller", "a")
    assert ledger.holder("controller", 1.0) is None


def test_a_document_follows_its_revision(ledger: Ledger) -> None:
    """The next revision is written; the same one again, or one after a gap, is a conflict and changes nothing."""
    ledger.commit([Document("a", 1, "one")], [])
    ledger.commit([Document("a", 2, "two")], [])
    for revision in (1, 2, 4):
        with pytest.raises(Conflict, match="a: "):
            ledger.commit([Document("a", revision, "x")], [entry()])
    assert ledger.get("a") == Document("a", 2, "two")
    assert ledger.journal() == []


def test_a_slot_has_one_holder(ledger: Ledger) -> None:
    """A second document can't take it until the first has let go, which may be in the same transaction."""
    ledger.commit([Document("a", 1, "one", "eta")], [])
    with pytest.raises(Conflict, match="slot 'eta' is taken"):
        ledger.commit([Document("b", 1, "one", "eta")], [])
    ledger.commit([Document("a", 2, "two"), Document("b", 1, "one", "eta")], [])
    held = ledger.in_slot("eta")
    assert held is not None
    assert held.key == "b"
    assert ledger.in_slot("other") is None


def test_a_prefix_is_no_pattern(ledger: Ledger) -> None:
    """A key's % and _ stand for themselves."""
    ledger.commit([Document("r/a_b-1", 1, ""), Document("r/axb-1", 1, "")], [])
    assert [d.key for d in ledger.under("r/a_b-")] == ["r/a_b-1"]
    assert ledger.under("%") == []


def test_of_many_writers_one_wins_each_revision(ledger: Ledger, url: str) -> None:
    """Eight processes' worth of writers: every revision is written once and the chain holds."""
    ledger.commit([Document("a", 1, "start")], [entry()])
    others = [Ledger(url) for _ in range(4)]

    def write(i: int) -> int:
        for _ in range(1000):
            found = ledger.get("a")
            assert found is not None
            try:
                others[i % 4].commit([Document("a", found.revision + 1, str(i))], [entry(str(i))])
            except Conflict:
                continue
            return found.revision + 1
        raise AssertionError("never won")

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(write, range(40))) == list(range(2, 42))
    assert ledger.verify() == 41
    assert sorted(r.entry.reason for r in ledger.journal(after=1)) == sorted(map(str, range(40)))
    for other in others:
        other.close()


def test_a_lease_is_held_until_it_runs_out(ledger: Ledger) -> None:
    """Taken, kept, prolonged, refused, run out, given back."""
    assert ledger.lease("c", "a", 0, 10)
    assert not ledger.lease("c", "b", 9.9, 10)
    assert ledger.lease("c", "a", 9.9, 10)
    assert not ledger.lease("c", "b", 19, 10)
    assert ledger.lease("c", "b", 19.9, 10)
    ledger.release("c", "a")
    assert not ledger.lease("c", "a", 20, 10)
    ledger.release("c", "b")
    assert ledger.lease("c", "a", 20, 10)


def test_the_outbox_is_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that is away for good costs a bounded number of rows; the newest are kept."""
    monkeypatch.setattr(module, "OUTBOX_LIMIT", 3)
    for i in range(6):
        ledger.commit([], [entry(str(i))])
    assert [m.record.entry.reason for m in ledger.due(2)] == ["3", "4", "5"]
    ledger.retry(4, due_at=9)
    ledger.sent(5)
    assert [m.record.seq for m in ledger.due(2)] == [6]
    assert [(m.record.seq, m.attempts) for m in ledger.due(9)] == [(4, 1), (6, 0)]


def test_a_locked_database_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite calls locked is Unavailable here, with its words."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    ledger = Ledger(url)
    monkeypatch.setattr("adapters.database._BUSY_MS", 1)
    hasty = Ledger(url)
    with ledger._writing(), pytest.raises(Unavailable, match="database is locked"):
        hasty.commit([Document("a", 1, "")], [])
    hasty.close()
    ledger.close()


def test_opening_twice_at_once_is_no_error(url: str) -> None:
    """Several processes may make the tables."""
    with ThreadPoolExecutor(4) as pool:
        for made in pool.map(Ledger, [url] * 4):
            made.close()
