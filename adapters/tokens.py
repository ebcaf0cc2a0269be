"""Bearer tokens in the ledger: only a hash is kept, and making or revoking one is in the audit log with it.

A token is `tdm.NAME.SECRET`: the name finds it, and 256 random bits prove it, so that a plain SHA-256 is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

import msgspec

from adapters.ledger import Conflict, Document, Entry, Ledger
from contracts.admin import MAX_DAYS
from contracts.errors import InvalidInput, NotFound
from contracts.roles import Actor, Role

_PREFIX: Final = "token/"
_SCHEME: Final = "tdm"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LONGEST: Final = 200
_DAY_S: Final = 86_400.0


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a token; times are epoch seconds, `until` is when it ends."""

    name: str
    role: Role
    sha256: str
    created_at: float
    created_by: str
    until: float
    revoked: bool = False
    revision: int = 1

    def valid(self, now: float) -> bool:
        """Whether it opens anything."""
        return not self.revoked and now < self.until


class Tokens:
    """All tokens of one database. Calls block; each may raise Unavailable."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def create(self, name: str, role: Role, days: int, actor: Actor, now: float) -> str:
        """Make a token and return it, this once. A revoked or expired one's name may be used again.

        Raises InvalidInput for a name or a time that can't be, NotAllowed for anybody but an admin.
        """
        actor.must_be("admin", "create a token")
        if not _NAME.fullmatch(name):
            raise InvalidInput("name", f"{name[:80]!r} must be 1 to 63 of a-z, 0-9, _ and -, not beginning with _ or -")
        if not 1 <= days <= MAX_DAYS:
            raise InvalidInput("days", f"is {days}, must be 1 to {MAX_DAYS}")
        old = self._get(name)
        if old is not None and old.valid(now):
            raise InvalidInput("name", f"there is a token {name!r} already; revoke it first")
        text = f"{_SCHEME}.{name}.{secrets.token_urlsafe(32)}"
        revision = old.revision + 1 if old else 1
        token = Token(name, role, _digest(text), now, actor.name, now + days * _DAY_S, revision=revision)
        try:
            self._write(token, Entry(now, actor.name, "token", name, f"created, {role}, for {days} days"))
        except Conflict:
            raise InvalidInput("name", f"somebody else made a token {name!r} just now") from None
        return text

    def revoke(self, name: str, actor: Actor, reason: str, now: float) -> None:
        """End a token at once; raises NotFound, or NotAllowed for anybody but an admin."""
        actor.must_be("admin", "revoke a token")
        while True:
            token = self._get(name)
            if token is None:
                raise NotFound("token", name[:80], f"there are {', '.join(t.name for t in self.all()) or 'none'}")
            ended = msgspec.structs.replace(token, revoked=True, revision=token.revision + 1)
            try:
                self._write(ended, Entry(now, actor.name, "token", name, f"revoked: {reason}"))
            except Conflict:
                continue
            return

    def all(self) -> list[Token]:
        """Every token that was ever made, by name."""
        return [msgspec.json.decode(found.body, type=Token) for found in self._ledger.under(_PREFIX)]

    def actor(self, text: str, now: float) -> Actor | None:
        """Who holds a token; None where it is unknown, expired or revoked."""
        scheme, _, rest = text.partition(".")
        name = rest.partition(".")[0]
        if len(text) > _LONGEST or scheme != _SCHEME or not _NAME.fullmatch(name):
            return None
        token = self._get(name)
        if token is None or not hmac.compare_digest(token.sha256, _digest(text)) or not token.valid(now):
            return None
        return Actor(name, token.role)

    def _get(self, name: str) -> Token | None:
        found = self._ledger.get(_PREFIX + name)
        return None if found is None else msgspec.json.decode(found.body, type=Token)

    def _write(self, token: Token, entry: Entry) -> None:
        body = msgspec.json.encode(token).decode()
        self._ledger.commit([Document(_PREFIX + token.name, token.revision, body)], [entry])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
