"""`/metrics` of the whole tier, with real listeners on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from serving.control_metrics import ControlMetrics, forget, read_control, serves_own, write_control, write_serves_own
from serving.exchange import Answer, Request
from serving.exposition import LOCAL_PATH
from serving.listener import Listener, socket_path
from serving.metrics_all import TierMetrics
from serving.telemetry import Telemetry
from tests.serving.conftest import Echo
from tests.serving.test_telemetry import shown

SLOTS = 4


@contextmanager
def listening(folder: Path, slot: int, body: bytes, status: int = 200) -> Iterator[None]:
    """A replica's listener that answers this to who asks for its numbers."""

    class App(Echo):
        def answer(self, request: Request) -> Answer:
            return Answer(status if request.path == LOCAL_PATH else 404, body)

    listener = Listener(App(), socket_path(folder, slot), ())
    listener.start()
    try:
        yield
    finally:
        listener.stop(1.0)


def counted(requests: int) -> Telemetry:
    """A replica that has answered so many."""
    telemetry = Telemetry()
    for _ in range(requests):
        telemetry.finished("/v1/eta", 200, 0.001)
    telemetry.watch("tandem_cache_rows", "Rows", lambda: 10.0 * requests)
    return telemetry


def exposition(folder: Path, own: Telemetry, deadline_s: float = 5.0) -> dict[tuple[str, ...], float]:
    """What the replica in slot 0 answers."""
    tier = TierMetrics(folder, SLOTS, 0, own.snapshot, deadline_s=deadline_s)
    return shown(asyncio.run(tier.exposition())[0])


def of_requests(found: dict[tuple[str, ...], float]) -> dict[str, float]:
    """Answered requests by replica."""
    return {key[1].removeprefix("replica="): value for key, value in found.items() if key[0] == "tandem_requests_total"}


def test_all_replicas_are_in_the_answer(tmp_path: Path) -> None:
    """Counters, histograms and gauges of each, by replica; free slots are nobody's silence."""
    with listening(tmp_path, 1, counted(5).encoded()), listening(tmp_path, 3, counted(7).encoded()):
        found = exposition(tmp_path, counted(2))
    assert of_requests(found) == {"0": 2, "1": 5, "3": 7}
    assert found["tandem_request_duration_seconds_bucket", "le=0.001", "replica=3", "route=/v1/eta"] == 7
    assert found["tandem_cache_rows", "replica=1"] == 50
    assert found["tandem_metrics_replicas", "state=reached"] == 3
    assert found["tandem_metrics_replicas", "state=silent"] == 0


def test_one_that_is_gone_takes_nothing_of_the_others(tmp_path: Path) -> None:
    """The series of a replica that went end; no other counter goes backwards."""
    with listening(tmp_path, 1, counted(5).encoded()):
        before = of_requests(exposition(tmp_path, counted(2)))
    after = of_requests(exposition(tmp_path, counted(2)))
    assert before == {"0": 2, "1": 5}
    assert after == {"0": 2}


@pytest.mark.parametrize(
    ("body", "status"), [(b"no JSON", 200), (b'[{"of":"another release"}]', 200), (b"", 503), (b"[[1]]", 200)]
)
def test_one_that_answers_nonsense_is_silent(tmp_path: Path, body: bytes, status: int) -> None:
    """What can't be read is counted, and the rest is there."""
    with listening(tmp_path, 1, body, status), listening(tmp_path, 2, counted(3).encoded()):
        found = exposition(tmp_path, counted(2))
    assert of_requests(found) == {"0": 2, "2": 3}
    assert found["tandem_metrics_replicas", "state=silent"] == 1


def test_one_that_hangs_costs_the_deadline_only(tmp_path: Path) -> None:
    """Stuck replicas are given up after the deadline, all at once; a killed one's socket is nobody's."""
    with ExitStack() as stack:
        for slot in (1, 2):
            stuck = stack.enter_context(socket.socket(socket.AF_UNIX))
            stuck.bind(str(socket_path(tmp_path, slot)))
            stuck.listen()
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(socket_path(tmp_path, 3)))
        found = exposition(tmp_path, counted(2), deadline_s=0.05)
    assert of_requests(found) == {"0": 2}
    assert found["tandem_metrics_replicas", "state=silent"] == 2


def replicas(**states: str) -> dict[str, Any]:
    """What Serve says of a deployment, as far as it is read."""
    return {
        "replicas": [{"replica_id": name, "state": state} for name, state in states.items()],
        "status": "HEALTHY",
        "target_num_replicas": 2,
    }


def test_serve_is_in_the_answer(tmp_path: Path) -> None:
    """Replicas by state, the wanted number, health, starts, and Serve's own lines out of Ray's."""
    control = ControlMetrics()
    control.families(replicas(a="RUNNING", b="RUNNING"), now=1.0)
    write_control(tmp_path, control.families(replicas(a="STOPPING", b="RUNNING", c="STARTING"), now=2.0))
    own = "# HELP ray_serve_x x\n# TYPE ray_serve_x gauge\nray_serve_x 4.0\n"
    write_serves_own(tmp_path, serves_own("# HELP ray_tasks x\n# TYPE ray_tasks gauge\nray_tasks 1.0\n" + own))
    found = exposition(tmp_path, counted(1))
    by_state = {key[1]: value for key, value in found.items() if key[0] == "tandem_serve_replicas" and value}
    assert by_state == {"state=STARTING": 1, "state=RUNNING": 1, "state=STOPPING": 1}
    assert found["tandem_serve_replicas_started_total",] == 3
    assert found["tandem_serve_replicas_wanted",] == 2
    assert found["tandem_serve_deployment_status", "state=HEALTHY"] == 1
    assert found["tandem_serve_deployment_status", "state=UNHEALTHY"] == 0
    assert found["tandem_serve_seen_timestamp_seconds",] == 2.0
    assert found["ray_serve_x",] == 4.0
    assert ("ray_tasks",) not in found
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("serve-*"))
    forget(tmp_path)
    assert read_control(tmp_path) == []
