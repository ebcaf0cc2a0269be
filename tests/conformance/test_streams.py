"""One suite for every stream: in memory, Redis Streams on a real Valkey, Kafka on librdkafka's mock cluster."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from adapters.kafka_stream import KafkaPolicy, KafkaStream, KafkaSubscription
from adapters.redis_stream import RedisStream, RedisStreamPolicy
from adapters.streams import Message, Stream, Subscription
from adapters.valkey import EmbeddedValkey, free_port
from contracts.errors import Unavailable
from contracts.events import DeadLetter, dead_letter_topic, decode_event
from tests.fakes_stream import FakeStream

CLAIM_S = 0.2
MAX_UNCOMMITTED = 50
MAX_LEN = 1000


@dataclass(frozen=True)
class Server:
    """How to reach one implementation, and one of it where nobody listens."""

    connect: Callable[[], Stream]
    nobody: Callable[[], Stream]
    bounded: bool  # refuses what a topic can't hold


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """The bootstrap address of a mock cluster that lives as long as its client."""
    cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    brokers = cluster.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del cluster


@pytest.fixture(params=["fake", "redis", "kafka"])
def server(request: Any) -> Iterator[Server]:
    """Each of the three."""
    streams: list[Stream] = []

    def keep(make: Callable[[], Stream]) -> Callable[[], Stream]:
        def connect() -> Stream:
            streams.append(make())
            return streams[-1]

        return connect

    if request.param == "fake":
        fake = FakeStream(max_len=MAX_LEN, max_uncommitted=MAX_UNCOMMITTED)
        gone = FakeStream(error=Unavailable("stream", "stream_unavailable"))
        found = Server(lambda: fake, lambda: gone, bounded=True)
    elif request.param == "redis":
        valkey: EmbeddedValkey = request.getfixturevalue("valkey")
        policy = RedisStreamPolicy(max_len=MAX_LEN, max_uncommitted=MAX_UNCOMMITTED, claim_after_s=CLAIM_S)
        away = f"redis://127.0.0.1:{free_port()}/0"
        found = Server(
            keep(lambda: RedisStream(valkey.socket_url, policy)), keep(lambda: RedisStream(away, policy)), bounded=True
        )
    else:
        bootstrap: str = request.getfixturevalue("kafka")
        options = {"log_level": 0, "topic.metadata.refresh.interval.ms": 200}
        quiet = KafkaPolicy(max_uncommitted=MAX_UNCOMMITTED, options=options)
        hasty = KafkaPolicy(timeout_s=1.0, options={"log_level": 0})
        away = f"127.0.0.1:{free_port()}"
        found = Server(
            keep(lambda: KafkaStream(bootstrap, quiet)), keep(lambda: KafkaStream(away, hasty)), bounded=False
        )
    yield found
    for stream in streams:
        stream.close()


@pytest.fixture
def topic() -> str:
    """A topic that no other test has."""
    return f"trips.ended.{uuid.uuid4().hex[:8]}"


def drain(subscription: Subscription, wanted: int, *, most: int = 20, commit: bool = True) -> list[Message]:
    """Poll until so many messages are there."""
    found: list[Message] = []
    deadline = time.monotonic() + 20
    while len(found) < wanted:
        assert time.monotonic() < deadline, f"{len(found)} of {wanted}"
        found += subscription.poll(min(most, wanted - len(found)), 0.1)
        if commit:
            subscription.commit()
    return found


def entries(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    """Numbered messages of three keys."""
    return [(f"k{i % 3}", b"%d" % i) for i in range(first, first + count)]


def test_all_that_is_published_arrives_in_order_of_its_key(server: Server, topic: str) -> None:
    """Every message with its key and bytes, and a position of its own."""
    stream = server.connect()
    stream.publish(topic, [*entries(100), ("ünï", b"\x00\xff")])
    found = drain(stream.subscribe(topic, topic), 101)
    for key in ("k0", "k1", "k2"):
        assert [int(m.payload) for m in found if m.key == key] == list(range(int(key[1]), 100, 3))
    assert [m.payload for m in found if m.key == "ünï"] == [b"\x00\xff"]
    assert len({m.position for m in found}) == 101


def test_what_is_not_committed_comes_again(server: Server, topic: str) -> None:
    """To the next consumer of the group; what is committed does not."""
    stream = server.connect()
    stream.publish(topic, entries(30))
    first = stream.subscribe(topic, topic)
    done = drain(first, 10)
    begun = drain(first, 10, commit=False)
    first.close()
    rest = drain(server.connect().subscribe(topic, topic), 20)
    assert Counter(m.position for m in rest) == Counter(
        {m.position for m in drain(stream.subscribe(topic, f"{topic}.other"), 30)} - {m.position for m in done}
    )
    assert {m.position for m in begun} <= {m.position for m in rest}


def test_each_group_gets_everything(server: Server, topic: str) -> None:
    """Groups do not take from one another, and a late one starts at the oldest."""
    stream = server.connect()
    stream.publish(topic, entries(20))
    groups = [drain(stream.subscribe(topic, f"{topic}.{group}"), 20) for group in ("a", "b")]
    assert groups[0] != []
    assert {m.position for m in groups[0]} == {m.position for m in groups[1]}


def test_consumers_of_a_group_share(server: Server, topic: str) -> None:
    """Two consumers that commit get each message once between them."""
    stream = server.connect()
    stream.publish(topic, entries(60))
    both = [server.connect().subscribe(topic, topic) for _ in range(2)]
    found: list[Message] = []
    deadline = time.monotonic() + 30
    while len({m.position for m in found}) < 60:
        assert time.monotonic() < deadline, len(found)
        for one in both:
            found += one.poll(10, 0.1)
            one.commit()
    assert len({m.position for m in found}) == 60
    for one in both:
        one.close()


def test_a_consumer_holds_no_more_than_its_bound(server: Server, topic: str) -> None:
    """Who does not commit gets nothing more, and no more at once than was asked for."""
    stream = server.connect()
    stream.publish(topic, entries(2 * MAX_UNCOMMITTED))
    subscription = stream.subscribe(topic, topic)
    held = drain(subscription, MAX_UNCOMMITTED, most=7, commit=False)
    assert len(held) == MAX_UNCOMMITTED
    assert subscription.poll(10, 0.0) == []
    subscription.commit()
    assert len(drain(subscription, MAX_UNCOMMITTED)) == MAX_UNCOMMITTED


def test_lag_is_what_is_not_committed(server: Server, topic: str) -> None:
    """Also what was delivered and is not done yet."""
    stream = server.connect()
    subscription = stream.subscribe(topic, topic)
    stream.publish(topic, entries(30))
    held = drain(subscription, 10, commit=False)
    assert subscription.lag() == 30
    subscription.commit()
    assert subscription.lag() == 30 - len(held)
    drain(subscription, 20)
    assert subscription.lag() == 0


def test_dead_letters_say_what_and_why(server: Server, topic: str) -> None:
    """The message as it came, where it was, and the reason; the others go on."""
    stream = server.connect()
    stream.publish(topic, [("k", b"\xff not JSON"), ("k", b"good")])
    subscription = stream.subscribe(topic, topic)
    poison, good = drain(subscription, 2, commit=False)
    subscription.dead_letter(poison, "not JSON")
    subscription.commit()
    assert good.payload == b"good"
    assert subscription.lag() == 0
    (letter,) = drain(stream.subscribe(dead_letter_topic(topic), f"{topic}.dead"), 1)
    found = decode_event(letter.payload, DeadLetter)
    assert (found.topic, found.key, found.position, found.reason, found.payload) == (
        topic,
        "k",
        poison.position,
        "not JSON",
        b"\xff not JSON",
    )


def test_a_server_that_is_not_there_is_unavailable(server: Server, topic: str) -> None:
    """Within the time limit, with a word for the metrics."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        server.nobody().publish(topic, entries(1))
    assert caught.value.reason == "stream_unavailable"
    assert time.monotonic() - began < 5


def test_a_full_topic_refuses_and_loses_nothing(server: Server, topic: str) -> None:
    """Backpressure: what a group has not committed is never trimmed; once it has, there is room."""
    if not server.bounded:
        pytest.skip("a broker's retention is its own")
    stream = server.connect()
    subscription = stream.subscribe(topic, topic)
    for i in range(10):
        stream.publish(topic, entries(MAX_LEN // 10, i * MAX_LEN // 10))
    with pytest.raises(Unavailable) as caught:
        stream.publish(topic, entries(1))
    assert caught.value.reason == "stream_full"
    found = drain(subscription, MAX_LEN // 2)
    stream.publish(topic, entries(MAX_LEN // 4, MAX_LEN))
    with pytest.raises(Unavailable):
        stream.publish(topic, entries(MAX_LEN // 2))
    found += drain(subscription, MAX_LEN // 2 + MAX_LEN // 4)
    assert [int(m.payload) for m in found] == list(range(MAX_LEN + MAX_LEN // 4))


def test_a_topic_that_no_group_reads_keeps_the_newest(valkey: EmbeddedValkey, topic: str) -> None:
    """On Redis: nobody waits for the old ones."""
    stream = RedisStream(valkey.url, RedisStreamPolicy(max_len=100))
    for i in range(30):
        stream.publish(topic, entries(10, i * 10))
    found = drain(stream.subscribe(topic, topic), 100)
    assert [int(m.payload) for m in found] == list(range(200, 300))
    stream.close()


def test_a_topic_is_wanted_by_groups(valkey: EmbeddedValkey, topic: str) -> None:
    """On Redis: not by who once wrote to it."""
    stream = RedisStream(valkey.url)
    assert not stream.wanted(topic)
    stream.publish(topic, entries(1))
    assert not stream.wanted(topic)
    stream.subscribe(topic, topic)
    assert stream.wanted(topic)
    stream.close()


def test_what_a_dead_consumer_held_is_claimed_once(valkey: EmbeddedValkey, topic: str) -> None:
    """On Redis a consumer that just vanishes is found out by its silence; its dead letters are not written twice."""
    policy = RedisStreamPolicy(claim_after_s=CLAIM_S)
    stream = RedisStream(valkey.url, policy)
    stream.publish(topic, entries(20))
    gone = stream.subscribe(topic, topic)
    held = drain(gone, 20, commit=False)
    heir = RedisStream(valkey.url, policy).subscribe(topic, topic)
    taken = drain(heir, 20, commit=False)
    assert [m.position for m in taken] == [m.position for m in held]
    for one in (heir, gone):  # it was not dead after all
        one.dead_letter(held[0], "poison")
        one.commit()
    assert len(drain(stream.subscribe(dead_letter_topic(topic), f"{topic}.dead"), 1)) == 1
    assert stream.subscribe(dead_letter_topic(topic), f"{topic}.dead").lag() == 0
    assert heir.lag() == 0


def test_who_leaves_takes_nothing_along(valkey: EmbeddedValkey, topic: str) -> None:
    """On Redis: what was sent and never arrived is still the group's; a consumer that holds nothing is forgotten."""
    stream = RedisStream(valkey.url, RedisStreamPolicy(claim_after_s=CLAIM_S))
    subscription = stream.subscribe(topic, topic)
    stream.publish(topic, entries(5))
    stream._redis.xreadgroup(topic, subscription._consumer, {topic: ">"}, count=5)  # a reply that was lost
    subscription.close()
    heir = stream.subscribe(topic, topic)
    assert len(drain(heir, 5)) == 5
    heir.close()
    assert [one["name"] for one in stream._redis.xinfo_consumers(topic, topic)] == [subscription._consumer.encode()]
    subscription.close()
    assert stream._redis.xinfo_consumers(topic, topic) == []


def test_a_server_that_lost_its_data_is_joined_again(valkey: EmbeddedValkey, topic: str) -> None:
    """On Redis the group is made anew, and what is published from then on arrives."""
    stream = RedisStream(valkey.url)
    subscription = stream.subscribe(topic, topic)
    stream._redis.delete(topic)
    stream.publish(topic, entries(5))
    assert len(drain(subscription, 5)) == 5


@pytest.mark.parametrize(
    ("code", "passes"), [(KafkaError.ILLEGAL_GENERATION, True), (KafkaError.NOT_COORDINATOR, False)]
)
def test_a_group_that_moved_on_does_not_hold_its_old_member(code: int, *, passes: bool) -> None:
    """On Kafka: what was taken away is another's to commit, and the next poll rejoins; other failures are told."""

    class Refusing:
        """librdkafka's consumer, as far as it goes."""

        def subscribe(self, *_: Any, **__: Any) -> None:
            """Joined."""

        def commit(self, **_: Any) -> None:
            """Refused."""
            raise KafkaException(KafkaError(code))

    subscription = KafkaSubscription(Refusing(), None, "t", KafkaPolicy())  # type: ignore[arg-type]
    subscription._next, subscription._uncommitted = {0: 5}, {0: 5}
    if passes:
        subscription.commit()
        assert subscription._next == subscription._uncommitted == {}
    else:
        with pytest.raises(Unavailable):
            subscription.commit()
        assert subscription._next == {0: 5}
