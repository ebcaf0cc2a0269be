"""Tokens: shown once, kept as a hash, good until they end, and in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.ledger import Ledger
from adapters.tokens import Tokens
from contracts.admin import MAX_DAYS
from contracts.errors import InvalidInput, NotAllowed, NotFound
from contracts.roles import Actor

ADA = Actor("ada", "admin")
NOW, DAY = 1.8e9, 86_400.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty one."""
    made = Ledger(f"sqlite:///{tmp_path / 'state.db'}")
    yield made
    made.close()


@pytest.fixture
def tokens(ledger: Ledger) -> Tokens:
    """Its tokens."""
    return Tokens(ledger)


def test_a_token_names_its_holder_until_it_ends(tokens: Tokens) -> None:
    """Good to its last moment, and no longer; one character more or less is no token."""
    text = tokens.create("olga", "operator", 2, ADA, NOW)
    assert tokens.actor(text, NOW + 2 * DAY - 1) == Actor("olga", "operator")
    assert tokens.actor(text, NOW + 2 * DAY) is None
    for wrong in (text[:-1], text + "A", text.upper(), "", "tdm", "tdm.olga", "tdm.olga.", text.replace("olga", "eve")):
        assert tokens.actor(wrong, NOW) is None
    assert tokens.actor("tdm.olga." + "x" * 10_000, NOW) is None


def test_a_revoked_token_is_dead_and_its_name_free(tokens: Tokens) -> None:
    """At once; a new one of the name is another."""
    old = tokens.create("olga", "operator", 2, ADA, NOW)
    with pytest.raises(InvalidInput, match="there is a token 'olga' already"):
        tokens.create("olga", "viewer", 2, ADA, NOW)
    tokens.revoke("olga", ADA, "left", NOW)
    assert tokens.actor(old, NOW) is None
    new = tokens.create("olga", "viewer", 2, ADA, NOW)
    assert tokens.actor(old, NOW) is None
    assert tokens.actor(new, NOW) == Actor("olga", "viewer")


def test_the_audit_log_has_it_and_nothing_has_the_secret(tokens: Tokens, ledger: Ledger, tmp_path: Path) -> None:
    """Who made and ended it and why; the database holds no part of the secret."""
    text = tokens.create("olga", "operator", 2, ADA, NOW)
    tokens.revoke("olga", ADA, "left", NOW)
    entries = [record.entry for record in ledger.journal()]
    assert [(e.actor, e.action, e.subject, e.reason) for e in entries] == [
        ("ada", "token", "olga", "created, operator, for 2 days"),
        ("ada", "token", "olga", "revoked: left"),
    ]
    secret = text.rpartition(".")[2].encode()
    assert all(secret not in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "Olga", "o" * 64, "-o", "a.b", "o\n", "../x", "ö"])
def test_a_name_that_cannot_be_is_refused(tokens: Tokens, name: str) -> None:
    """A point would split the token."""
    with pytest.raises(InvalidInput, match="must be 1 to 63"):
        tokens.create(name, "viewer", 1, ADA, NOW)


def test_only_an_admin_may(tokens: Tokens) -> None:
    """And for a stated time; what is not there can't be revoked."""
    with pytest.raises(NotAllowed, match="olga is operator, must be admin"):
        tokens.create("eve", "admin", 1, Actor("olga", "operator"), NOW)
    for days in (0, MAX_DAYS + 1):
        with pytest.raises(InvalidInput, match="must be 1 to 3650"):
            tokens.create("eve", "admin", days, ADA, NOW)
    with pytest.raises(NotFound, match="'eve' not found; there are none"):
        tokens.revoke("eve", ADA, "", NOW)


def test_of_many_makers_at_once_one_wins(tokens: Tokens) -> None:
    """Two tokens of a name would leave one of them good after the other's end."""

    def make(_: int) -> str:
        try:
            return tokens.create("olga", "viewer", 1, ADA, NOW)
        except InvalidInput:
            return ""

    with ThreadPoolExecutor(4) as pool:
        made = [text for text in pool.map(make, range(12)) if text]
    assert len(made) == 1
    assert tokens.actor(made[0], NOW)
