"""The stream port on Redis Streams: a topic is a stream key of its name, in one server (not Redis Cluster).

Delivery is `XREADGROUP` and `XACK`; what a consumer that died had taken is claimed after `claim_after_s`. A topic is
bounded: at `max_len` the publisher trims what every group has acknowledged, and refuses where that is not enough.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import redis

from adapters.redis_client import redis_client, unavailable
from adapters.streams import Entry, Message, dead_letter
from contracts.errors import Unavailable
from contracts.events import dead_letter_topic

_KEY, _PAYLOAD = b"key", b"payload"
_FIRST: Final = "0-0"

# Acknowledged and dead-lettered in one step: a letter is written once, whoever else holds the message.
_DEAD_LETTER: Final = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then
  redis.call('XADD', KEYS[2], '*', 'key', ARGV[3], 'payload', ARGV[4])
end
"""

# Where the first so many messages end; the messages themselves stay in the server.
_POSITION: Final = """
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1] + 1)
return first[#first][1]
"""

# Consumers of a group that hold nothing: the one that leaves, and those that died long ago. A consumer takes what is
# pending with it, also what it was sent and never got; so it is looked at and removed in one step.
_LEAVE: Final = """
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local of = {}
  for i = 1, #consumer, 2 do of[consumer[i]] = consumer[i + 1] end
  if of.pending == 0 and (of.name == ARGV[2] or of.idle > tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
  end
end
"""
_DEAD_MS: Final = 3_600_000


@dataclass(frozen=True)
class RedisStreamPolicy:
    """Bounds and times (seconds)."""

    max_len: int = 1_000_000  # messages in a topic
    max_uncommitted: int = 10_000  # of one consumer
    claim_after_s: float = 10.0
    timeout_s: float = 2.0  # of one command


class RedisStream:
    """See Stream."""

    def __init__(self, url: str, policy: RedisStreamPolicy | None = None) -> None:
        self._policy = policy or RedisStreamPolicy()
        self._redis = redis_client(url, self._policy.timeout_s)

    def publish(self, topic: str, entries: Sequence[Entry]) -> None:
        """See Stream."""
        with _available():
            if self._redis.xlen(topic) + len(entries) > self._policy.max_len:
                self._make_room(topic, len(entries))
            with self._redis.pipeline(transaction=False) as pipe:
                for key, payload in entries:
                    pipe.xadd(topic, {_KEY: key, _PAYLOAD: payload})
                pipe.execute()

    def subscribe(self, topic: str, group: str) -> RedisSubscription:
        """See Stream."""
        subscription = RedisSubscription(self._redis, topic, group, self._policy)
        subscription.join()
        return subscription

    def wanted(self, topic: str) -> bool:
        """Whether any group reads a topic. Raises Unavailable."""
        with _available():
            return bool(self._redis.exists(topic) and self._redis.xinfo_groups(topic))

    def close(self) -> None:
        """See Stream."""
        self._redis.close()

    def _make_room(self, topic: str, wanted: int) -> None:
        """Trim what no group still needs; a topic that nobody reads in a group keeps the newest."""
        keep = max(self._policy.max_len - wanted, 0)
        groups = self._redis.xinfo_groups(topic) if self._redis.exists(topic) else []
        if not groups:
            self._redis.xtrim(topic, maxlen=keep, approximate=False)
            return
        needed = min((_oldest_needed(self._redis, topic, group) for group in groups), key=_order)
        # Some at once, not one at a time; what is read and still fits stays, for who wants to read it again.
        spare = self._redis.eval(_POSITION, 1, topic, wanted + self._policy.max_len // 100)
        self._redis.xtrim(topic, minid=min(spare, needed, key=_order), approximate=False)
        length = self._redis.xlen(topic)
        if length + wanted > self._policy.max_len:
            detail = (
                f"topic {topic!r} holds {length} messages that a group has not committed, of {self._policy.max_len}"
            )
            raise Unavailable("stream", "stream_full", detail)


class RedisSubscription:
    """See Subscription."""

    def __init__(self, client: Any, topic: str, group: str, policy: RedisStreamPolicy) -> None:
        self._redis = client
        self._topic, self._group = topic, group
        self._policy = policy
        self._consumer = uuid.uuid4().hex  # nobody else's, ever: what it leaves behind is claimed
        self._uncommitted: set[bytes] = set()
        self._claimed_at = float("-inf")
        self._claim_from: Any = _FIRST

    def join(self) -> None:
        """Make the group where there is none. Raises Unavailable."""
        with _available():
            try:
                self._redis.xgroup_create(self._topic, self._group, id=_FIRST, mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def poll(self, most: int, timeout_s: float) -> list[Message]:
        """See Subscription."""
        most = min(most, self._policy.max_uncommitted - len(self._uncommitted))
        if most <= 0:
            return []
        with _available():
            try:
                entries = self._claim(most) or self._read(most, timeout_s)
            except redis.ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                self.join()  # the server came back without its data
                return []
        self._uncommitted.update(position for position, _ in entries)
        return [self._message(position, fields) for position, fields in entries]

    def commit(self) -> None:
        """See Subscription."""
        if self._uncommitted:
            with _available():
                self._redis.xack(self._topic, self._group, *self._uncommitted)
        self._uncommitted.clear()

    def dead_letter(self, message: Message, reason: str) -> None:
        """See Subscription. Exactly once: the message is acknowledged in the same step."""
        keys = (message.topic, dead_letter_topic(message.topic))
        arguments = (self._group, message.position, message.key, dead_letter(message, reason))
        with _available():
            self._redis.eval(_DEAD_LETTER, len(keys), *keys, *arguments)
        self._uncommitted.discard(message.position.encode())

    def lag(self) -> int:
        """See Subscription."""
        with _available():
            for group in self._redis.xinfo_groups(self._topic):
                if group["name"] == self._group.encode():
                    return int(group["pending"]) + self._unread(group)
        return 0

    def close(self) -> None:
        """See Subscription."""
        with suppress(Unavailable), _available():  # a server that is gone finds out by itself
            self._redis.eval(_LEAVE, 1, self._topic, self._group, self._consumer, _DEAD_MS)

    def _unread(self, group: Mapping[str, Any]) -> int:
        if group["lag"] is not None:
            return int(group["lag"])
        # The server can't tell where entries were deleted out of turn.
        return len(self._redis.xrange(self._topic, min=b"(" + group["last-delivered-id"]))

    def _claim(self, most: int) -> list[Any]:
        """Take over what others hold for too long; its turn comes once in `claim_after_s`, until there is no more."""
        now = time.monotonic()
        if now - self._claimed_at < self._policy.claim_after_s:
            return []
        idle_ms = int(self._policy.claim_after_s * 1000)
        self._claim_from, entries, *_ = self._redis.xautoclaim(
            self._topic, self._group, self._consumer, idle_ms, self._claim_from, count=most
        )
        if self._claim_from == _FIRST.encode():
            self._claimed_at = now
        return [entry for entry in entries if entry[0] not in self._uncommitted]

    def _read(self, most: int, timeout_s: float) -> list[Any]:
        # Below the socket's own timeout, or a quiet topic would look like a dead server.
        block_ms = max(1, int(1000 * min(timeout_s, self._policy.timeout_s / 2)))
        found = self._redis.xreadgroup(
            self._group, self._consumer, {self._topic: ">"}, count=most, block=block_ms if timeout_s > 0 else None
        )
        return list(found[0][1]) if found else []

    def _message(self, position: bytes, fields: Mapping[bytes, bytes]) -> Message:
        key = fields.get(_KEY, b"").decode(errors="replace")
        return Message(self._topic, key, fields.get(_PAYLOAD, b""), position.decode())


def _available() -> Any:
    return unavailable("stream", "stream_unavailable")


def _oldest_needed(client: Any, topic: str, group: Mapping[str, Any]) -> bytes:
    if group["pending"]:
        oldest: bytes = client.xpending(topic, group["name"])["min"]
        return oldest
    delivered: bytes = group["last-delivered-id"]
    time_ms, _, sequence = delivered.partition(b"-")
    return b"%b-%d" % (time_ms, int(sequence) + 1)


def _order(position: bytes) -> tuple[int, int]:
    time_ms, _, sequence = position.partition(b"-")
    return int(time_ms), int(sequence)
