"""Prometheus' text, read back."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from bench.exposition import buckets, by_replica, parse, quantile_bound, share_within, total


def _seconds(values: list[float]) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    histogram = Histogram("model_seconds", "x", ["arm"], buckets=(0.001, 0.01), registry=registry)
    for value in values:
        histogram.labels("champion").observe(value)
    return parse(generate_latest(registry).decode())


def test_the_share_within_a_bound_is_exact() -> None:
    """Only what happened between the readings counts."""
    counts = buckets(_seconds([5.0] * 10), _seconds([5.0] * 10 + [0.0005] * 99 + [0.002]), "model_seconds")
    assert counts == {0.001: 99, 0.01: 100, float("inf"): 100}
    assert share_within(counts, 0.001) == 0.99
    assert quantile_bound(counts, 0.99) == 0.001
    assert quantile_bound(counts, 0.995) == 0.01


def test_nothing_observed_is_nothing() -> None:
    """Without observations there is neither share nor quantile."""
    counts = buckets(_seconds([]), _seconds([]), "model_seconds")
    assert share_within(counts, 0.001) is None
    assert quantile_bound(counts, 0.99) is None
    assert total(_seconds([]), "no_such") is None


def test_what_one_replica_tells_of_all_is_parted() -> None:
    """A label parts them; without one they are the replica's own."""
    samples = parse('reads{replica="0"} 3\nreads{arm="a",replica="1"} 4\n')
    assert {replica: total(of, "reads") for replica, of in by_replica(samples).items()} == {"0": 3, "1": 4}
    assert set(by_replica(parse("reads 3\n"))) == {""}
