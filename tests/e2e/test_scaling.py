"""The number of replicas follows their load, and `/metrics` tells of all of them, on a stack that really runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.status import status
from tests.e2e.running import Callers, Running, running_stack, until

pytestmark = pytest.mark.e2e

QUICK = {
    "REPLICAS": "1",
    "MAX_REPLICAS": "2",
    "SCALE_TARGET": "0.25",
    "SCALE_WINDOW_S": "2",
    "SCALE_UP_DELAY_S": "0.5",
    "SCALE_DOWN_DELAY_S": "2",
    "QUEUE_MS": "1000",
}
MANY = {"trips": [{"pickup": {"zone": "1"}, "dropoff": {"zone": "2"}}] * 64}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack of one replica that may become two."""
    with running_stack(tmp_path_factory.mktemp("home"), **QUICK) as running:
        yield running


def samples(stack: Running, path: str = "/metrics") -> dict[tuple[str, ...], float]:
    """What the stack's metrics say, by name and sorted label values."""
    text = httpx.get(stack.url + path, timeout=10).raise_for_status().text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))] = sample.value
    return found


@contextmanager
def load(stack: Running) -> Iterator[None]:
    """Two callers that leave one replica no rest."""
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client() as client:
            while not stop.is_set():
                client.post(f"{stack.url}/v1/eta", json=MANY, timeout=10)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_replicas_follow_their_load(stack: Running, record_property: Callable[[str, object], None]) -> None:
    """Load makes a second replica; without it the second drains, and no request fails."""
    assert stack.ready() == 1
    assert status(stack.home)["replicas"] == "1 of 1 to 2 ready"
    begin = time.monotonic()
    with load(stack):
        until(lambda: samples(stack).get(("tandem_serve_replicas_wanted",)) == 2, "the wish for a second replica")
        record_property("second_wanted_s", time.monotonic() - begin)
        until(lambda: stack.ready() == 2, "the second replica")
        record_property("second_ready_s", time.monotonic() - begin)
        assert samples(stack)["tandem_metrics_replicas", "state=reached"] == 2
    begin = time.monotonic()
    with Callers(stack) as callers:
        until(lambda: samples(stack)["tandem_serve_replicas_wanted",] == 1, "the wish for one replica")
        record_property("one_wanted_s", time.monotonic() - begin)
        until(lambda: stack.ready() == 1 and len(stack.replicas()) == 1, "the end of one replica")
        record_property("one_left_s", time.monotonic() - begin)
        before = callers.seen["model"]
        until(lambda: callers.seen["model"] > before + 20, "the one that stays")
    record_property("calls_while_scaling_down", sum(callers.seen.values()))
    assert set(callers.seen) == {"model"}


def test_a_killed_front_is_back_at_once(stack: Running, record_property: Callable[[str, object], None]) -> None:
    """After a SIGKILL of HAProxy requests are answered again within seconds."""
    killed = stack.pid("front")
    with httpx.Client() as client:
        os.kill(killed, 9)
        asked = time.monotonic()

        def answered() -> bool:
            try:
                return stack.eta(client).status_code == 200
            except httpx.TransportError:
                return False

        until(answered, "an answer")
        back_s = time.monotonic() - asked
    record_property("front_back_s", back_s)
    assert back_s < 5.0
    assert stack.pid("front") != killed


def test_metrics_of_all(stack: Running) -> None:
    """The numbers of the replicas, of Serve and of the front, whoever is asked."""
    until(lambda: samples(stack)["tandem_serve_deployment_status", "state=HEALTHY"] == 1, "a deployment at rest")
    found = samples(stack)
    assert found["tandem_metrics_replicas", "state=silent"] == 0
    assert found["tandem_serve_replicas", "state=RUNNING"] == 1
    assert found["tandem_serve_replicas_started_total",] >= 1
    replica = next(key[1] for key in found if key[0] == "tandem_requests_total" and "route=/v1/eta" in key)
    assert found["tandem_requests_total", replica, "route=/v1/eta", "status=200"] > 0
    assert found["tandem_cache_hits_total", replica] > 0
    assert 0 <= found["tandem_cache_row_age_seconds", "quantile=0.5", replica] < 3600
    until(lambda: any(key[0] == "ray_serve_deployment_replica_starts_total" for key in samples(stack)), "Serve's own")
    front = samples(stack, "/metrics/front")
    assert front["haproxy_backend_http_responses_total", "code=2xx", "proxy=replicas"] > 0
