"""The suite of the stream: what it counts, and what it says."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from bench.event_source import Entry, EventSource, compared
from bench.live_stack import visible
from bench.stream_faults import poison_kinds
from bench.suites import streams
from contracts.errors import InvalidInput
from contracts.events import TripEnded, decode_event


def test_a_source_knows_what_each_cell_must_hold() -> None:
    """A trip counts for the city and for each zone it touched, in the cell that its end falls into."""
    source = EventSource(["1", "2"])
    entries = source.make([1_800_000_000.0, 1_800_000_000.1])
    trips = [decode_event(payload, TripEnded) for _, payload in entries]
    cells = Counter({("city", "nyc", 1_800_000_000_000_000): 1, ("city", "nyc", 1_800_000_010_000_000): 1})
    for trip, at in zip(trips, (1_800_000_000_000_000, 1_800_000_010_000_000), strict=True):
        cells.update(("zone", zone, at) for zone in {trip.pickup_zone, trip.dropoff_zone})
    assert source.cells == cells
    assert len({trip.trip_id for trip in trips}) == 2


def test_a_source_keeps_its_rate() -> None:
    """Whatever a put takes; the ends are evenly spaced."""
    source, put = EventSource(["1", "2"]), list[Entry]()

    def slow(some: list[Entry]) -> None:
        time.sleep(0.06)
        put.extend(some)

    sent = source.drive(500.0, 0.5, slow)
    assert 150 < sent <= 250
    assert len(put) == sent
    assert np.diff(source.ended_us) == pytest.approx(2000, abs=2)


def test_lost_and_doubled_do_not_cancel() -> None:
    """One cell has too few, another too many."""
    expected = Counter({("city", "nyc", 0): 5, ("city", "nyc", 10): 5})
    found = Counter({("city", "nyc", 0): 4, ("city", "nyc", 10): 6})
    assert compared(expected, found) == {"lost": 1, "doubled": 1}


def test_an_event_is_seen_by_the_first_answer_that_has_it() -> None:
    """Counts never fall; what no answer had is never seen; an answer without features tells nothing."""
    times, counts = np.array([10.0, 11.0, 12.0, 13.0]), np.array([100.0, np.nan, 102.0, 101.0])
    found = visible([9_000_000, 9_500_000, 9_600_000], 100, times, counts)
    assert found == {"p50_s": 2.75, "p99_s": pytest.approx(3.0, abs=0.01), "p100_s": 3.0, "never_seen": 1}


def test_every_kind_of_poison_is_refused_or_is_no_trip_of_the_city() -> None:
    """Twelve kinds; two of them can be read, and the consumer refuses the zone and the time."""
    kinds, readable = poison_kinds(("1", "2")), 0
    for kind in kinds:
        try:
            trip = decode_event(kind(), TripEnded)
        except InvalidInput:
            continue
        assert trip.pickup_zone == "no such zone" or trip.dropoff_at.timestamp() > time.time() + 60
        readable += 1
    assert (len(kinds), readable) == (12, 2)


def _run(**changes: Any) -> dict[str, Any]:
    run = {
        "events": 10, "lost": 0, "doubled": 0, "drained_s": 1.0, "requests": 5, "server_errors": 0, "unanswered": 0,
        "answered_by": {"model": 4, "features_stale": 1},
    }  # fmt: skip
    return run | changes


def _result(**changes: Any) -> dict[str, Any]:
    runs = {
        "steady": _run(visible={"p50_s": 5.0, "p99_s": 10.0, "p100_s": 11.0, "never_seen": 0}),
        "consumer_killed": _run(catch_up_s=12.0),
        "broker_killed": _run(in_order=True, sent_again=3, catch_up_s=2.0),
        "poisoned": _run(poison=600, dead_letters=600, kinds=12),
        "store_erased": _run(live_rows_s=0.5, whole_s=8.0, statistics_differ=0),
    }
    runs["steady"] |= changes
    return {"rate": 2000.0, "minutes": 5.0, "fault_rate": 500.0, "zones": 64, "runs": runs}


def test_the_page_tells_every_fault() -> None:
    """With its catch-up and who answered."""
    page = streams.page(_result())
    assert "p50 5.0 s, p99 10.0 s" in page
    assert "| consumer SIGKILL, twice | 10 | 0 | 0 | 12.0 | 5 | 0 | 0 | model 80.0 %, features_stale 20.0 % |" in page
    assert "live rows again after 0.5 s, statistics after 8.0 s" in page


def test_what_never_drained_is_no_pass() -> None:
    """Then nobody knows what is lost."""
    assert {line.met for line in streams.lines(_result())} == {True}
    assert streams.lines(_result(lost=1))[0].met is False
    assert streams.lines(_result(drained_s=None))[0].met is None
