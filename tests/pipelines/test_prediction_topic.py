"""The prediction log as events: each at least once, through rotation, torn ends, dead brokers and dead publishers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.prediction_segments import frame, frame_head
from adapters.segment_folder import CLOSED, OPEN
from contracts.errors import Unavailable
from contracts.prediction_events import PREDICTIONS, PredictionEvent
from pipelines import compaction
from pipelines.prediction_events import events_of
from pipelines.prediction_topic import PredictionTopic
from pipelines.published import HELD_S, held, read_published
from tests.fakes import NOW, FakeClock
from tests.fakes_stream import FakeStream
from tests.some_predictions import HEAD, prediction


class Folder:
    """A prediction log that grows, and who publishes it."""

    def __init__(self, path: Path) -> None:
        self.path, self.stream, self.clock, self.wanted = path, FakeStream(), FakeClock(NOW + 100), True
        path.mkdir()
        self.topic = self.publisher()

    def publisher(self) -> PredictionTopic:
        """A new process."""
        return PredictionTopic(self.path, self.stream, lambda: self.wanted, self.clock, lambda _: None)

    def append(self, name: str, *numbers: int, cut: int = 0) -> None:
        """Add records to an open segment; `cut` bytes of the last are still to come."""
        path = self.path / f"{name}{OPEN}"
        content = b"" if path.exists() else frame_head(HEAD)
        content += b"".join(frame(msgspec.msgpack.encode(prediction(number))) for number in numbers)
        with path.open("ab") as file:
            file.write(content[: len(content) - cut])
        self.rest = content[len(content) - cut :]

    def close(self, name: str) -> None:
        """Close a segment, as its writer does."""
        (self.path / f"{name}{OPEN}").rename(self.path / f"{name}{CLOSED}")

    def drain(self) -> None:
        """Step until nothing is left."""
        while self.topic.step(0.0):
            pass

    def numbers(self) -> list[int]:
        """Which requests arrived, in order; each of two trips."""
        events = [msgspec.json.decode(m.payload, type=PredictionEvent) for m in self.stream.topics.get(PREDICTIONS, ())]
        assert [event.data.id for event in events] == ["trip-0", "trip-1"] * (len(events) // 2)
        return [int(event.data.request_id.removeprefix("request-")) for event in events[::2]]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty log."""
    return Folder(tmp_path / "predictions")


def test_an_event_is_the_record(folder: Folder) -> None:
    """CloudEvents' attributes, features and ages by name, absent as null, times with their offset."""
    folder.append("1", 7)
    folder.drain()
    message = folder.stream.topics[PREDICTIONS][1]
    assert message.key == "request-7"
    found: dict[str, Any] = msgspec.json.decode(message.payload)
    data = found.pop("data")
    assert found == {
        "specversion": "1.0",
        "id": "request-7/trip-1/eta/1",
        "source": "/tandem/test",
        "type": "tandem.prediction.eta",
        "subject": "request-7",
        "time": "2027-01-15T08:00:07.000000Z",
        "datacontenttype": "application/json",
    }
    assert data["schema_version"] == 1
    assert data["features"] == {"distance_m": 7.0, "pair.median_s": None, "pickup.speed": 1.0}
    assert data["ages_s"]["pickup.zone_long"] is None
    assert data["ages_s"]["city.city_live"] == 0.5
    assert (data["eta_s"], data["arm"], data["start_at"]) == (601.0, "champion", found["time"])


def test_what_nobody_can_name_is_left_out() -> None:
    """Without a head, or where the model was not asked."""
    (event, _) = events_of(prediction(1), None)
    assert (event.data.features, event.data.ages_s, event.data.eta_s) == (None, None, 600.0)
    (event, _) = events_of(prediction(1, features=b"", ages=b"", fallback=b"\x01\x01", reason="killed"), HEAD)
    assert (event.data.features, event.data.source, event.data.reason) == (None, "fallback", "killed")


def test_every_record_once_as_segments_grow_and_rotate(folder: Folder) -> None:
    """Half a record waits for its other half; a segment that is closed meanwhile is the same one."""
    folder.append("1", 1, 2, cut=5)
    folder.drain()
    assert folder.numbers() == [1]
    with (folder.path / f"1{OPEN}").open("ab") as file:
        file.write(folder.rest)
    folder.append("1", 3)
    folder.close("1")
    folder.append("2", 4)
    folder.drain()
    assert folder.numbers() == [1, 2, 3, 4]
    assert folder.topic.lag() == 0


def test_a_dead_broker_delays_and_a_dead_publisher_repeats_at_most(folder: Folder) -> None:
    """Nothing is lost; after a kill between the broker's word and the note, the part comes again."""
    folder.append("1", *range(300))
    folder.stream.error = Unavailable("stream", "stream_unavailable")
    with pytest.raises(Unavailable):
        folder.topic.step(0.0)
    assert folder.topic.lag() > 0
    folder.stream.error = None
    folder.drain()
    assert folder.numbers() == list(range(300))
    folder.append("1", 300)
    noted = (folder.path / "published.json").read_bytes()
    folder.drain()
    (folder.path / "published.json").write_bytes(noted)
    folder.topic = folder.publisher()
    folder.drain()
    assert folder.numbers() == [*range(301), 300]
    folder.topic = folder.publisher()
    folder.append("1", 301)
    folder.drain()
    assert folder.numbers()[-1] == 301
    last = msgspec.json.decode(folder.stream.topics[PREDICTIONS][-1].payload, type=PredictionEvent)
    assert last.data.features is not None  # the head of a segment that another began to publish is found


def test_damage_is_passed_over_and_a_torn_end_of_a_dead_writer_too(folder: Folder) -> None:
    """The good records around it arrive."""
    folder.append("1", 1, 2, 3)
    path = folder.path / f"1{OPEN}"
    content = path.read_bytes()
    middle = content.index(b"request-2")
    path.write_bytes(content[:middle] + b"!!!" + content[middle + 3 : -4])
    folder.close("1")
    folder.append("2", 4)
    folder.drain()
    assert folder.numbers() == [1, 4]
    assert folder.topic.lag() == 0


def test_compaction_waits_for_the_publication_but_not_for_ever(folder: Folder) -> None:
    """An hour; then what was not published is counted."""
    folder.append("1", 1)
    folder.drain()
    folder.append("1", 2)
    folder.close("1")
    path = folder.path / f"1{CLOSED}"
    now = path.stat().st_mtime
    assert held(folder.path, path, now)
    assert compaction.compact(folder.path, keep_bytes=1 << 30).segments == 0
    assert not held(folder.path, path, now + HELD_S + 1)
    folder.stream.error = Unavailable("stream", "stream_unavailable")
    with pytest.raises(Unavailable):
        folder.topic.step(0.0)
    os.utime(path, (now - HELD_S - 1,) * 2)
    assert compaction.compact(folder.path, keep_bytes=1 << 30).segments == 1
    folder.stream.error = None
    folder.drain()
    assert folder.numbers() == [1]
    assert folder.topic.counts["missed_bytes"] > 0
    assert read_published(folder.path) == {}


def test_a_log_that_nobody_publishes_is_not_held(tmp_path: Path) -> None:
    """Nor one of an empty folder, nor a segment that is gone."""
    assert not held(tmp_path, tmp_path / "1.log")
    (tmp_path / "1.log").write_bytes(b"x")
    assert not held(tmp_path, tmp_path / "1.log")


def test_what_nobody_wants_is_passed_over(folder: Folder) -> None:
    """No group, no events and no segment that waits; who comes later gets what comes later."""
    folder.wanted = False
    folder.append("1", 1, 2)
    folder.drain()
    assert folder.numbers() == []
    assert not (folder.path / "published.json").exists()
    folder.wanted = True
    folder.append("1", 3)
    folder.drain()
    assert folder.numbers() == [3]
    assert (folder.path / "published.json").exists()
    folder.wanted = False
    folder.append("1", 4)
    folder.close("1")
    folder.drain()
    assert not held(folder.path, folder.path / f"1{CLOSED}")
