"""One batch of a topic's events at a time, which stays until it is committed, whatever fails in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic

from adapters.streams import Message, Subscription
from contracts.errors import InvalidInput
from contracts.events import E, decode_event

_MOST: Final = 1000  # messages a batch


class Inbox(Generic[E]):
    """Polls, decodes and checks; what can't be used goes to the dead letters with the reason, once.

    `check` raises InvalidInput for an event that is none of this city or time, given epoch seconds.
    """

    def __init__(self, messages: Subscription, kind: type[E], check: Callable[[E, float], None]) -> None:
        self._messages = messages
        self._kind: type[E] = kind
        self._check: Callable[[E, float], None] = check
        self._begun: list[Message] = []  # polled, and not committed
        self.dead_letters = 0

    def poll(self, timeout_s: float) -> None:
        """Wait for a batch, unless one is under way. Raises Unavailable."""
        self._begun = self._begun or self._messages.poll(_MOST, timeout_s)

    def read(self, now: float) -> list[E]:
        """The batch's events. Raises Unavailable; the batch is then read again."""
        batch, good = self._begun, list[Message]()
        events: list[E] = []
        for i, message in enumerate(batch):
            try:
                event = decode_event(message.payload, self._kind)
                self._check(event, now)
            except InvalidInput as error:
                self._begun = good + batch[i:]  # should this letter fail, those before it are not written again
                self._messages.dead_letter(message, str(error))
                self.dead_letters += 1
                continue
            events.append(event)
            good.append(message)
        self._begun = good
        return events

    def commit(self) -> int:
        """All of the batch has had its effects; returns how many messages it was. Raises Unavailable."""
        self._messages.commit()
        done, self._begun = len(self._begun), []
        return done

    def lag(self) -> int:
        """How many messages the group has yet to commit. Raises Unavailable."""
        return self._messages.lag()
