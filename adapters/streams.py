"""The stream port: topics, consumer groups, at least once. Two servers speak it, and one suite checks both.

What is published is kept until every group has had it: a full topic refuses, it does not lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.events import SCHEMA_VERSION, DeadLetter, encode_event

Entry = tuple[str, bytes]  # key and payload; entries of one key keep their order


@dataclass(frozen=True)
class Message:
    """What a topic holds; `position` is unique in the topic and names it to people and to the server."""

    topic: str
    key: str
    payload: bytes
    position: str


class Subscription(Protocol):
    """One consumer of a group on one topic. Belongs to one thread."""

    def poll(self, most: int, timeout_s: float) -> list[Message]:
        """Wait for messages; none comes twice from here until it is lost to another consumer. Raises Unavailable.

        Where as many are uncommitted as the stream's `max_uncommitted`, nothing is returned: commit first.
        """
        ...

    def commit(self) -> None:
        """Everything that `poll` returned has had its effects; without this, another gets it. Raises Unavailable."""
        ...

    def dead_letter(self, message: Message, reason: str) -> None:
        """Put a message that can't be used on the topic's dead letters, with the reason. Raises Unavailable."""
        ...

    def lag(self) -> int:
        """How many messages of the topic the group has not committed. Raises Unavailable."""
        ...

    def close(self) -> None:
        """Leave the group; what was not committed goes to another consumer."""
        ...


class Stream(Protocol):
    """Publishes, and subscribes."""

    def publish(self, topic: str, entries: Sequence[Entry]) -> None:
        """Put entries on a topic; after the return the server has all of them.

        Raises Unavailable, with the reason ``stream_full`` where the topic holds as many as it may: some entries may
        be there then, and publishing them again is right.
        """
        ...

    def subscribe(self, topic: str, group: str) -> Subscription:
        """Join a group; a new one starts at the oldest message. Raises Unavailable."""
        ...

    def close(self) -> None:
        """Let the connections go."""
        ...


def dead_letter(message: Message, reason: str) -> bytes:
    """The payload of a message's dead letter."""
    letter = DeadLetter(
        schema_version=SCHEMA_VERSION,
        topic=message.topic,
        position=message.position,
        key=message.key,
        reason=reason,
        payload=message.payload,
    )
    return encode_event(letter)
