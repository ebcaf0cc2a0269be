"""Twins of streams and of what they bring, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adapters.streams import Entry, Message, dead_letter
from contracts.driver_positions import DriverPosition
from contracts.errors import Unavailable
from contracts.events import dead_letter_topic


@dataclass
class FakeStream:
    """A stream in memory; what a closed consumer has not committed goes to the next. It can be told to fail."""

    max_len: int = 1_000_000
    max_uncommitted: int = 10_000
    error: Unavailable | None = None
    topics: dict[str, list[Message]] = field(default_factory=dict)
    taken: dict[tuple[str, str], set[int]] = field(default_factory=dict)  # by (topic, group): places in the topic
    committed: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    def publish(self, topic: str, entries: Sequence[Entry]) -> None:
        """See Stream."""
        self.check()
        log = self.topics.setdefault(topic, [])
        groups = [done for (of, _), done in self.committed.items() if of == topic]
        if groups and max(len(log) - len(done) for done in groups) + len(entries) > self.max_len:
            raise Unavailable("stream", "stream_full", topic)
        log += [Message(topic, key, payload, str(len(log) + i)) for i, (key, payload) in enumerate(entries)]

    def subscribe(self, topic: str, group: str) -> FakeSubscription:
        """See Stream."""
        self.check()
        self.taken.setdefault((topic, group), set())
        self.committed.setdefault((topic, group), set())
        return FakeSubscription(self, topic, group)

    def close(self) -> None:
        """Nothing to let go."""

    def check(self) -> None:
        """Fail where it was told to."""
        if self.error:
            raise self.error


class FakeSubscription:
    """See Subscription."""

    def __init__(self, stream: FakeStream, topic: str, group: str) -> None:
        self._stream, self._topic = stream, topic
        self._taken, self._committed = stream.taken[topic, group], stream.committed[topic, group]
        self._uncommitted: set[int] = set()

    def poll(self, most: int, timeout_s: float) -> list[Message]:  # noqa: ARG002
        """See Subscription."""
        self._stream.check()
        log = self._stream.topics.get(self._topic, [])
        most = max(min(most, self._stream.max_uncommitted - len(self._uncommitted)), 0)
        places = [place for place in range(len(log)) if place not in self._taken][:most]
        self._taken.update(places)
        self._uncommitted.update(places)
        return [log[place] for place in places]

    def commit(self) -> None:
        """See Subscription."""
        self._stream.check()
        self._committed |= self._uncommitted
        self._uncommitted.clear()

    def dead_letter(self, message: Message, reason: str) -> None:
        """See Subscription."""
        self._stream.publish(dead_letter_topic(message.topic), [(message.key, dead_letter(message, reason))])

    def lag(self) -> int:
        """See Subscription."""
        self._stream.check()
        return len(self._stream.topics.get(self._topic, [])) - len(self._committed)

    def close(self) -> None:
        """See Subscription."""
        self._taken -= self._uncommitted


@dataclass
class FakeDriverPositions:
    """Drivers' positions in a dictionary; it can be told to fail."""

    max_age_s: float = 120.0
    future_s: float = 60.0
    error: Unavailable | None = None
    moves: dict[str, tuple[int, float, float, str]] = field(default_factory=dict)

    def put(self, driver: str, at_us: int, lat: float, lon: float, zone: str) -> None:
        """Keep the later position of a driver."""
        held = self.moves.get(driver)
        if held is None or (at_us, lat, lon) > held[:3]:
            self.moves[driver] = (at_us, lat, lon, zone)

    async def positions(self, zone: str | None, now: float) -> list[DriverPosition]:
        """See DriverPositions."""
        if self.error:
            raise self.error
        return sorted(
            DriverPosition(driver, lat, lon, at_us / 1e6)
            for driver, (at_us, lat, lon, of) in self.moves.items()
            if zone in (None, of) and -self.max_age_s <= at_us / 1e6 - now <= self.future_s
        )
