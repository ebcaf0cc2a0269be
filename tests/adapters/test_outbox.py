"""What was put survives whoever put it, and the broker; it goes out in the order of the puts."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.outbox import Outbox, send
from adapters.streams import Entry
from contracts.errors import Unavailable
from tests.fakes_stream import FakeStream

ROOT = Path(__file__).parent.parent.parent


class Flaky(FakeStream):
    """A broker that dies at any moment: before it has anything, after some, or after all but its word."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._draw = random.Random(seed)
        self.deaths = 0

    def publish(self, topic: str, entries: Sequence[Entry]) -> None:
        """Take some."""
        if self._draw.random() < 0.6:
            super().publish(topic, entries[: self._draw.randint(0, len(entries))])
            self.deaths += 1
            raise Unavailable("stream", "stream_unavailable")
        super().publish(topic, entries)

    def arrived(self, topic: str) -> list[bytes]:
        """Payloads in the order in which they came first."""
        return list(dict.fromkeys(message.payload for message in self.topics.get(topic, ())))


def drain(outbox: Outbox, stream: FakeStream) -> int:
    """Send until nothing waits, as a sender does."""
    sent = 0
    while outbox.waiting():
        try:
            sent += len(send(outbox, stream))
        except Unavailable:
            continue
    return sent


@pytest.mark.parametrize("seed", range(5))
def test_everything_arrives_in_order_through_a_broker_that_dies(tmp_path: Path, seed: int) -> None:
    """Two topics in turns, thousands of messages; what comes twice comes after its first time."""
    outbox, stream, draw = Outbox(tmp_path / "outbox.db"), Flaky(seed), random.Random(seed)
    put: dict[str, list[bytes]] = {"a": [], "b": []}
    for i in range(60):
        topic = draw.choice("ab")
        payloads = [b"%d-%d" % (i, j) for j in range(draw.randint(1, 90))]
        outbox.put(topic, [("k", payload) for payload in payloads])
        put[topic] += payloads
    drain(outbox, stream)
    assert stream.deaths > 1
    assert {topic: stream.arrived(topic) for topic in put} == put


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """SIGKILL in the middle of putting: each put whose end was told is there, whole and in order."""
    code = (
        "import sys; from pathlib import Path; from adapters.outbox import Outbox\n"
        "outbox = Outbox(Path(sys.argv[1]))\n"
        "for i in range(10**6):\n"
        "    outbox.put('t', [('', b'%d-%d' % (i, j)) for j in range(3)])\n"
        "    print(i, flush=True)\n"
    )
    path = tmp_path / "outbox.db"
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 50:
                process.send_signal(signal.SIGKILL)
                break
        told = max([50, *map(int, process.stdout.read().split())])
    outbox = Outbox(path)
    kept = [one.payload for one in outbox.first(10**6)]
    assert kept[: 3 * (told + 1)] == [b"%d-%d" % (i, j) for i in range(told + 1) for j in range(3)]
    assert len(kept) % 3 == 0  # a put is there whole or not at all


def test_a_full_one_refuses_and_keeps(tmp_path: Path) -> None:
    """The error names the file and the limit; once the broker has taken some, there is room."""
    outbox, stream = Outbox(tmp_path / "outbox.db", max_messages=10), FakeStream()
    outbox.put("t", [("", b"%d" % i) for i in range(8)])
    with pytest.raises(Unavailable, match=r"outbox\.db holds as many messages as it may, 10") as caught:
        outbox.put("t", [("", b"x")] * 3)
    assert caught.value.reason == "outbox_full"
    assert outbox.waiting() == 8
    assert len(send(outbox, stream)) == 8
    outbox.put("t", [("", b"x")] * 10)
    assert outbox.waiting() == 10


def test_one_sends_at_a_time(tmp_path: Path) -> None:
    """Beside one that is sending, another sends nothing; many may put meanwhile."""
    path, stream = tmp_path / "outbox.db", FakeStream()
    outboxes = [Outbox(path) for _ in range(4)]

    def put(outbox: Outbox, name: str) -> None:
        for i in range(25):
            outbox.put("t", [(name, f"{name}{i}".encode())])

    with outboxes[0].sending() as alone:
        threads = [threading.Thread(target=put, args=(box, name)) for box, name in zip(outboxes, "wxyz", strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (alone, send(outboxes[1], stream)) == (True, [])
    assert drain(outboxes[1], stream) == 100
    for name in "wxyz":
        own = [message.payload for message in stream.topics["t"] if message.key == name]
        assert own == [f"{name}{i}".encode() for i in range(25)]


def test_a_file_that_is_no_outbox_is_an_outage_with_its_name(tmp_path: Path) -> None:
    """Not a traceback of SQLite's."""
    path = tmp_path / "outbox.db"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(Unavailable, match=r"outbox\.db: file is not a database"):
        Outbox(path)
