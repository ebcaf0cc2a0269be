"""Recorded traffic against a small service of the test's own: requests, outcomes and ends, in their time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from adapters.outbox import Outbox
from contracts.clock import SystemClock
from contracts.errors import Unavailable
from contracts.events import TripEnded, decode_event
from pipelines.recorded_traffic import recorded_traffic
from pipelines.replay_trips import Replay, replay_trips
from tests.some_trips import some_trips


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    """Answers ETAs, every tenth with a 503, and takes outcomes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        outcomes: ClassVar[list[dict[str, Any]]] = []
        asked: ClassVar[list[dict[str, Any]]] = []

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/v1/outcomes":
                self.outcomes.extend(body["outcomes"])
                return self._answer(200, {"accepted": len(body["outcomes"]), "duplicate": 0, "unknown": 0})
            (trip,) = body["trips"]
            self.asked.append(trip)
            if int(trip["id"].removeprefix("t")) % 10 == 0:
                return self._answer(503, {})
            eta = {"id": trip["id"], "eta_s": 60, "low_s": 50, "high_s": 70, "model": "eta@1", "arm": "champion"}
            return self._answer(200, {"request_id": f"r-{trip['id']}", "etas": [{**eta, "source": "model"}]})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Ahead(SystemClock):
    """A clock that can be put forward."""

    by_s = 0.0

    def monotonic(self) -> float:
        """Later than it is."""
        return super().monotonic() + self.by_s


def test_a_replay_asks_and_tells_of_outcomes_and_ends(service: ThreadingHTTPServer, tmp_path: Path) -> None:
    """Every trip is asked for, and when it ends, not before, has its event; every answered one has its outcome."""
    traffic = recorded_traffic(some_trips(100, days=0.1, seed=4), peak=400.0)
    outbox, clock = Outbox(tmp_path / "outbox.db"), Ahead()
    replay = Replay(traffic, outbox, ("127.0.0.1", service.server_address[1]), clock, progress=False)
    asyncio.run(replay.run(wait=False))
    handler: Any = service.RequestHandlerClass
    assert [trip["pickup"]["zone"] for trip in sorted(handler.asked, key=lambda trip: trip["id"])] == traffic.pickup
    found = replay.summary()
    assert found["statuses"] == {"200": 90, "503": 10}
    assert (found["ok"], found["trips_ended"], found["under_way"], outbox.waiting()) == (False, 0, 100, 0)
    for put_forward_s in (1800.0, 7300.0):
        clock.by_s = put_forward_s
        asyncio.run(replay.tell_ends())
    events = [decode_event(one.payload, TripEnded) for one in outbox.first()]
    assert [event.trip_id for event in events] == [traffic.trip_id[i] for i in traffic.by_end]
    assert {event.trip_id: round(event.duration_s) for event in events} == dict(
        zip(traffic.trip_id, traffic.duration_s, strict=True)
    )
    assert replay.summary()["outcomes"] == {"accepted": 90, "duplicate": 0, "unknown": 0}
    answered = [name for name in traffic.trip_id if int(name.removeprefix("t")) % 10]
    assert sorted(one["request_id"] for one in handler.outcomes) == [f"r-{name}" for name in answered]
    assert all(one["event"] == "completed" and one["actual_s"] >= 60 for one in handler.outcomes)


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it reads anything."""
    monkeypatch.setenv("TANDEM_PORT", "1")
    with pytest.raises(Unavailable, match="`tandem up` starts it"):
        replay_trips(tmp_path, tmp_path / "trips.parquet")
