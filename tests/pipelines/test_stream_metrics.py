"""What consumers say of themselves, from their counts to `/metrics` and `tandem status`."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from pipelines.stream_metrics import COMPONENT, Ages, families, stream_status
from serving.component_metrics import read_components, write_component
from serving.metrics_all import TierMetrics
from serving.telemetry import Telemetry
from tests.fakes import NOW
from tests.serving.test_telemetry import shown


class Consumer:
    """One that has worked."""

    def __init__(self, topic: str, ages: list[float], **counts: int) -> None:
        self.topic, self.counts, self.ages = topic, Counter(counts), Ages()
        self.ages.add(ages)


def test_every_count_is_told_by_topic(tmp_path: Path) -> None:
    """Messages, effects, lag and ages of each consumer, in the tier's exposition."""
    trips = Consumer("trips.ended", [0.2, 7.0, 400.0], committed=10, dead_letters=2, rows_written=5)
    drivers = Consumer("drivers.moved", [], committed=3)
    write_component(tmp_path, COMPONENT, families([trips, drivers], {"trips.ended": 4}, NOW))
    tier = TierMetrics(tmp_path, 0, 0, Telemetry().snapshot)
    found = shown(asyncio.run(tier.exposition())[0])
    of = "topic=trips.ended"
    assert found["tandem_stream_messages_total", "result=done", of] == 10
    assert found["tandem_stream_messages_total", "result=dead_letter", of] == 2
    assert found["tandem_stream_messages_total", "result=done", "topic=drivers.moved"] == 3
    assert found["tandem_stream_effects_total", "effect=rows_written", of] == 5
    assert found["tandem_stream_lag", of] == 4
    assert found["tandem_stream_visible_seconds_count", of] == 3
    assert found["tandem_stream_visible_seconds_sum", of] == 407.2
    assert found["tandem_stream_visible_seconds_bucket", "le=0.25", of] == 1
    assert found["tandem_stream_recent_visible_seconds", "quantile=p50", of] == 7.0
    assert found["tandem_stream_seen_timestamp_seconds",] == NOW


def test_status_has_the_figures_that_a_person_looks_for(tmp_path: Path) -> None:
    """By topic, and how old they are; nothing where no consumer has ever run."""
    assert stream_status(tmp_path, NOW) == {}
    trips = Consumer("trips.ended", [1.0, 3.0], committed=10)
    write_component(tmp_path, COMPONENT, families([trips], {}, NOW))
    assert stream_status(tmp_path, NOW + 2) == {
        "trips.ended": {
            "lag": None,
            "done": 10,
            "dead_letter": 0,
            "visible_p50_s": 2.0,
            "visible_p99_s": 2.98,
            "said_s_ago": 2.0,
        }
    }


def test_a_file_that_is_no_metrics_is_left_out(tmp_path: Path) -> None:
    """A component that writes nonsense takes nothing from the others."""
    write_component(tmp_path, "good", families([Consumer("t", [], committed=1)], {}, NOW))
    (tmp_path / "bad.metrics.json").write_bytes(b"{")
    assert any(family.name == "tandem_stream_messages_total" for family in read_components(tmp_path))
