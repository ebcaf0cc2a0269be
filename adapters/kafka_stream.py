"""The stream port on Kafka, through librdkafka. A message's position is ``partition:offset``.

A dead letter can be there twice after a crash (a topic has no set to look it up in): its key is the position, so
that whoever counts them counts each once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from adapters.streams import Entry, Message, dead_letter
from contracts.errors import Unavailable
from contracts.events import dead_letter_topic

_SESSION_MS: Final = 6000
_BUFFER_KB: Final = 16_384  # fetched ahead, a consumer
_WAITING: Final = 20_000  # messages on their way out, a producer


@dataclass(frozen=True)
class KafkaPolicy:
    """Bounds and times (seconds). `options` are librdkafka's own: security, addresses of proxies and so on."""

    max_uncommitted: int = 10_000  # of one consumer
    timeout_s: float = 10.0  # of one publication, commit or question
    options: Mapping[str, Any] | None = None


class KafkaStream:
    """See Stream."""

    def __init__(self, bootstrap: str, policy: KafkaPolicy | None = None) -> None:
        self._policy = policy or KafkaPolicy()
        self._common = {"bootstrap.servers": bootstrap, **(self._policy.options or {})}
        self._producer = Producer(
            {
                **self._common,
                "enable.idempotence": True,  # acknowledged by all in-sync replicas, and in order
                "linger.ms": 2,
                "queue.buffering.max.messages": _WAITING,
                "delivery.timeout.ms": int(self._policy.timeout_s * 1000),
            }
        )

    def publish(self, topic: str, entries: Sequence[Entry]) -> None:
        """See Stream. A full topic is the broker's to define; its retention is Kafka's."""
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Any) -> None:
            if error is not None:
                failed.append(error)

        deadline = time.monotonic() + self._policy.timeout_s
        for key, payload in entries:
            self._produce(topic, key, payload, delivered, deadline)
        waiting = self._producer.flush(max(0.0, deadline - time.monotonic()) + 0.5)
        if failed or waiting:
            why = failed[0].str() if failed else f"no answer within {self._policy.timeout_s:g} s"
            detail = f"{len(failed) or waiting} of {len(entries)} messages to {topic!r} not acknowledged: {why}"
            raise Unavailable("stream", "stream_unavailable", detail)

    def subscribe(self, topic: str, group: str) -> KafkaSubscription:
        """See Stream."""
        consumer = Consumer(
            {
                **self._common,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": _SESSION_MS,
                "queued.max.messages.kbytes": _BUFFER_KB,
                "allow.auto.create.topics": True,
                "topic.metadata.refresh.interval.ms": 10_000,  # a topic that is made later is found by then
                **(self._policy.options or {}),
            }
        )
        return KafkaSubscription(consumer, self, topic, self._policy)

    def close(self) -> None:
        """See Stream."""
        self._producer.flush(self._policy.timeout_s)

    def _produce(self, topic: str, key: str, payload: bytes, delivered: Any, deadline: float) -> None:
        while True:
            try:
                self._producer.produce(topic, payload, key.encode(), on_delivery=delivered)
            except BufferError:  # the bound of what is on its way: wait for some to arrive
                if time.monotonic() >= deadline:
                    words = f"{_WAITING} messages wait to be acknowledged"
                    raise Unavailable("stream", "stream_unavailable", words) from None
                self._producer.poll(0.1)
            except KafkaException as error:
                raise _unavailable(error) from error
            else:
                self._producer.poll(0)
                return


class KafkaSubscription:
    """See Subscription."""

    def __init__(self, consumer: Consumer, stream: KafkaStream, topic: str, policy: KafkaPolicy) -> None:
        self._consumer, self._stream = consumer, stream
        self._topic, self._policy = topic, policy
        self._next: dict[int, int] = {}  # by partition: the offset after the last one that poll returned
        self._uncommitted: dict[int, int] = {}  # how many, by partition
        consumer.subscribe([topic], on_revoke=self._lost, on_lost=self._lost)

    def poll(self, most: int, timeout_s: float) -> list[Message]:
        """See Subscription."""
        most = min(most, self._policy.max_uncommitted - sum(self._uncommitted.values()))
        if most <= 0:
            return []
        try:
            first = self._consumer.poll(timeout_s)  # `consume` would wait until it has `most`
            found = [first, *self._consumer.consume(most - 1, 0.01)] if first is not None else []
        except (KafkaException, RuntimeError) as error:
            raise _unavailable(error) from error
        messages = [self._take(message) for message in found if message.error() is None]
        if not messages:  # never in place of messages: a commit would pass over them
            _check([message.error() for message in found])
        return messages

    def commit(self) -> None:
        """See Subscription."""
        places = [TopicPartition(self._topic, partition, offset) for partition, offset in self._next.items()]
        errors: list[KafkaError] = []
        if places:
            try:
                done = self._consumer.commit(offsets=places, asynchronous=False)
                errors = [place.error for place in done or () if place.error]
            except KafkaException as error:
                errors = [error.args[0]]
        # Where the group has moved on without this consumer, another gets the messages again; waiting brings no more.
        failed = [error for error in errors if error.code() not in _MOVED_ON]
        if failed:
            raise Unavailable("stream", "stream_unavailable", failed[0].str())
        self._next.clear()
        self._uncommitted.clear()

    def dead_letter(self, message: Message, reason: str) -> None:
        """See Subscription."""
        self._stream.publish(dead_letter_topic(message.topic), [(message.position, dead_letter(message, reason))])

    def lag(self) -> int:
        """See Subscription. Of the partitions that this consumer has."""
        try:
            behind = 0
            places = self._consumer.committed(self._consumer.assignment(), timeout=self._policy.timeout_s)
            for place in places:
                low, high = self._consumer.get_watermark_offsets(place, timeout=self._policy.timeout_s)
                behind += high - (place.offset if place.offset >= 0 else low)
        except (KafkaException, RuntimeError) as error:
            raise _unavailable(error) from error
        return behind

    def close(self) -> None:
        """See Subscription."""
        self._consumer.close()

    def _take(self, message: Any) -> Message:
        partition, offset = message.partition(), message.offset()
        self._next[partition] = offset + 1
        self._uncommitted[partition] = self._uncommitted.get(partition, 0) + 1
        key = (message.key() or b"").decode(errors="replace")
        return Message(self._topic, key, message.value() or b"", f"{partition}:{offset}")

    def _lost(self, _: Any, places: list[TopicPartition]) -> None:
        """Forget partitions that are another's now: what was not committed of them is delivered there."""
        for place in places:
            self._next.pop(place.partition, None)
            self._uncommitted.pop(place.partition, None)


_MOVED_ON: Final = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS}
)
_PASSING: Final = frozenset(
    {
        KafkaError._PARTITION_EOF,  # noqa: SLF001 - librdkafka's own codes are named so
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # not made yet
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - rejoins at the next poll
    }
)


def _check(errors: list[Any]) -> None:
    """Let pass what librdkafka mends by itself."""
    for error in errors:
        if error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise Unavailable("stream", "stream_unavailable", error.str())


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable("stream", "stream_unavailable", str(error))
