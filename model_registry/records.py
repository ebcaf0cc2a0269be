"""Rollouts and flags in the ledger: each change with its journal entry, and one active rollout a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from adapters.ledger import Document, Entry, Ledger
from contracts.errors import NotFound
from model_registry.flags import Flags
from model_registry.rollout import Rollout

_FLAGS: Final = "flags"
_ROLLOUTS: Final = "rollout/"


class Records:
    """A typed view of the ledger. A writer passes what it read; Conflict means that it was not the latest."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def active(self, model: str) -> Rollout | None:
        """The rollout that holds the model."""
        document = self._ledger.in_slot(model)
        return None if document is None else msgspec.json.decode(document.body, type=Rollout)

    def get(self, rollout: str) -> Rollout:
        """A rollout by id; raises NotFound."""
        document = self._ledger.get(_ROLLOUTS + rollout)
        if document is None:
            raise NotFound("rollout", rollout)
        return msgspec.json.decode(document.body, type=Rollout)

    def history(self, model: str) -> list[Rollout]:
        """All rollouts of a model, oldest first."""
        found = [msgspec.json.decode(d.body, type=Rollout) for d in self._ledger.under(f"{_ROLLOUTS}{model}-")]
        return sorted((r for r in found if r.model == model), key=lambda r: int(r.id.rpartition("-")[2]))

    def standing(self, model: str) -> Rollout | None:
        """The rollout that says what becomes of the traffic: the active one, else the newest; None before the first."""
        return self.active(model) or next(reversed(self.history(model)), None)

    def flags(self) -> Flags:
        """The flags in force."""
        document = self._ledger.get(_FLAGS)
        return Flags() if document is None else msgspec.json.decode(document.body, type=Flags)

    def create(self, rollout: Rollout, entries: Sequence[Entry], replaces: Rollout | None = None) -> None:
        """Keep a new rollout, and in the same moment what became of the one it replaces; raises Conflict."""
        ended = [] if replaces is None else [_document(_next(replaces))]
        self._ledger.commit([*ended, _document(rollout)], entries)

    def save(self, rollout: Rollout, entries: Sequence[Entry] = ()) -> Rollout:
        """Keep a rollout's next revision and return it; raises Conflict."""
        saved = _next(rollout)
        self._ledger.commit([_document(saved)], entries)
        return saved

    def save_flags(self, flags: Flags, entry: Entry) -> Flags:
        """Keep the flags' next revision and return it; raises Conflict."""
        saved = msgspec.structs.replace(flags, revision=flags.revision + 1)
        self._ledger.commit([Document(_FLAGS, saved.revision, msgspec.json.encode(saved).decode())], [entry])
        return saved


def _next(rollout: Rollout) -> Rollout:
    return msgspec.structs.replace(rollout, revision=rollout.revision + 1)


def _document(rollout: Rollout) -> Document:
    slot = rollout.model if rollout.active else None
    return Document(_ROLLOUTS + rollout.id, rollout.revision, msgspec.json.encode(rollout).decode(), slot)
