"""Trips that end become outcomes: on a real Valkey and a real database, once, whoever else reports them or dies."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.redis_stream import RedisStream, RedisStreamPolicy
from adapters.state import State
from adapters.valkey import EmbeddedValkey
from contracts.errors import Unavailable
from contracts.events import TRIPS_ENDED, TripEnded, encode_event
from contracts.messages import Outcome
from contracts.outcomes import KeptOutcome
from pipelines.trip_outcomes import TripOutcomes
from serving.request_ids import RequestIds
from tests.fakes import NOW, FakeClock
from tests.fakes_stream import FakeStream

IDS = RequestIds(b"a secret")
ENDED = datetime.fromtimestamp(NOW, UTC)


def event(trip_id: str, request_id: str | None, *, duration_s: float = 600.0) -> bytes:
    """A trip's end, with or without the request it was booked on."""
    names: dict[str, Any] = {} if request_id is None else {"request_id": request_id}
    return encode_event(
        TripEnded(
            schema_version=1,
            trip_id=trip_id,
            pickup_at=ENDED - timedelta(seconds=duration_s),
            dropoff_at=ENDED,
            pickup_zone="1",
            dropoff_zone="2",
            **names,
        )
    )


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A database."""
    return State(f"sqlite:///{tmp_path / 'state.db'}")


def kept(state: State) -> list[KeptOutcome]:
    """Everything there is."""
    return state.outcomes_between("", "z")


def test_only_trips_of_our_requests_are_outcomes(valkey: EmbeddedValkey, state: State) -> None:
    """Named, known and readable ones; the others are counted, and the topic is done with them."""
    topic, request = f"{TRIPS_ENDED}.{uuid.uuid4().hex[:8]}", IDS.issue(NOW)
    stream = RedisStream(valkey.socket_url)
    payloads = [event("a", request), event("a", request, duration_s=700.0), event("b", request)]
    payloads += [event("c", None), event("d", "of somebody else"), event("e\0", request), b"{"]
    stream.publish(topic, [("", payload) for payload in payloads])
    state.add_outcomes([Outcome(request_id=request, id="b", event="completed", at=ENDED, actual_s=500.0)], NOW - 1)
    outcomes = TripOutcomes(stream.subscribe(topic, "outcomes"), state.add_outcomes, IDS.issued, FakeClock())
    assert outcomes.step(1.0) == len(payloads)
    assert outcomes.step(0.0) == outcomes.lag() == 0
    assert kept(state) == [
        KeptOutcome(request, "a", "completed", 600.0, NOW),
        KeptOutcome(request, "b", "completed", 500.0, NOW - 1),
    ]
    kinds = {"accepted": 1, "duplicate": 2, "unnamed": 1, "unknown": 2, "unreadable": 1}
    assert outcomes.counts == {"committed": 7, **kinds}
    stream.close()


def test_a_consumer_that_dies_before_its_commit_doubles_nothing(valkey: EmbeddedValkey, state: State) -> None:
    """Another gets the batch, and the database knows it."""
    topic, request = f"{TRIPS_ENDED}.{uuid.uuid4().hex[:8]}", IDS.issue(NOW)
    stream = RedisStream(valkey.socket_url, RedisStreamPolicy(claim_after_s=0.05))
    stream.publish(topic, [("", event(f"t{i}", request)) for i in range(20)])
    doomed = stream.subscribe(topic, "outcomes")

    def no_commit() -> None:
        raise Unavailable("stream", "stream_unavailable", "killed")

    doomed.commit = no_commit  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="killed"):
        TripOutcomes(doomed, state.add_outcomes, IDS.issued, FakeClock()).step(1.0)
    other = TripOutcomes(stream.subscribe(topic, "outcomes"), state.add_outcomes, IDS.issued, FakeClock(NOW + 5))
    deadline = time.monotonic() + 10
    while not other.step(0.2):
        assert time.monotonic() < deadline
    assert other.counts == {"committed": 20, "accepted": 0, "duplicate": 20}
    assert {outcome.received_at for outcome in kept(state)} == {NOW}
    stream.close()


def test_a_database_that_is_away_keeps_the_batch(state: State) -> None:
    """It is begun again, and nothing is committed before it is kept."""
    stream, request, calls = FakeStream(), IDS.issue(NOW), []
    stream.publish(TRIPS_ENDED, [("", event("a", request)), ("", event("b", None))])

    def keep(outcomes: Sequence[Outcome], at: float) -> int:
        calls.append(len(outcomes))
        if len(calls) == 1:
            raise Unavailable("state database", "not_written", "locked")
        return state.add_outcomes(outcomes, at)

    outcomes = TripOutcomes(stream.subscribe(TRIPS_ENDED, "outcomes"), keep, IDS.issued, FakeClock())
    with pytest.raises(Unavailable, match="locked"):
        outcomes.step(0.0)
    assert outcomes.lag() == 2
    assert outcomes.step(0.0) == 2
    assert outcomes.counts == {"committed": 2, "accepted": 1, "duplicate": 0, "unnamed": 1}
    assert outcomes.lag() == 0
