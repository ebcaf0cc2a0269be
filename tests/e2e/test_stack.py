"""The whole stack, really running: up, faults, down. A model that always says 600 s stands in for the trained one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import httpx
import msgspec
import psutil
import pytest

from adapters.driver_positions import RedisDriverPositions
from adapters.outbox import Outbox
from adapters.redis_pipe import RedisPipe
from adapters.redis_stream import RedisStream
from adapters.valkey import free_port
from contracts.driver_positions import DriverPosition
from contracts.events import DRIVERS_MOVED, TRIPS_ENDED, DriverMoved, TripEnded, encode_event
from contracts.features import ETA_SCHEMA
from contracts.prediction_events import PREDICTIONS, PredictionEvent
from pipelines.layout import Layout
from pipelines.replay_trips import replay_trips
from pipelines.stack import Stack
from pipelines.status import status
from pipelines.supervisor import members
from pipelines.up import PortTaken, down, up
from serving.proto import tandem_pb2 as tandem
from tests.bad_requests import bad_requests
from tests.e2e.running import Callers, Running, running_stack, until
from tests.serving.test_bad_requests import check

pytestmark = pytest.mark.e2e

CONFORMANCE = Path(__file__).parents[1] / "conformance"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack for all tests here."""
    with running_stack(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_up_answers_with_the_model(stack: Running) -> None:
    """`up` returns a real ETA of the model, and all of the stack is reported."""
    assert stack.result["eta"]["source"] == "model"
    assert stack.result["eta"]["eta_s"] == 600.0
    found = status(stack.home)
    assert found["ok"]
    assert set(found["components"]) == {"supervisor", "valkey", "front", "serve", "predictions", "stream", "rollouts"}
    assert json.dumps(found)


def test_up_again_says_so(stack: Running) -> None:
    """A second `up` of the same home changes nothing; one of another home is told that the port is taken."""
    assert up(stack.home, progress=False)["already_up"]
    with pytest.raises(PortTaken, match="TANDEM_PORT"):
        up(stack.home.parent / "other", progress=False)


def test_a_stack_is_found_from_another_environment(stack: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` and `status` go by what the stack was started with, whatever the caller's variables say."""
    monkeypatch.setenv("TANDEM_PORT", str(free_port()))
    monkeypatch.setenv("TANDEM_REPLICAS", "5")
    assert up(stack.home, progress=False)["url"] == stack.url
    assert status(stack.home)["ok"]


def test_nobody_else_can_read_or_write_it(stack: Running) -> None:
    """Files are the owner's only; Ray opens its session to all, behind a folder that only the owner enters."""
    found = Stack(stack.home)
    for folder in (found.run, found.sockets, stack.home / "valkey"):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    files = [*stack.home.glob("state.db*"), *found.run.rglob("*"), *found.sockets.rglob("*")]
    files += (stack.home / "valkey").rglob("*")
    rays = found.sockets / "ray"
    open_ = [path for path in files if not path.is_relative_to(rays) and path.lstat().st_mode & 0o077]
    assert [path for path in open_ if not path.is_symlink()] == []


def test_everything_listens_on_loopback(stack: Running) -> None:
    """No process of the stack can be reached from outside of the machine."""
    for process in members(Stack(stack.home).id):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip.removeprefix("::ffff:") in ("127.0.0.1", "::1"), process.cmdline()


def test_grpc_through_the_front(stack: Running) -> None:
    """The same trip over gRPC, answered by the model within the caller's deadline."""
    trip = tandem.Trip(pickup=tandem.Place(zone="1"), dropoff=tandem.Place(zone="2"))
    with grpc.insecure_channel(stack.result["grpc"]) as channel:
        predict = channel.unary_unary(
            "/tandem.v1.EtaService/Predict",
            request_serializer=tandem.PredictRequest.SerializeToString,
            response_deserializer=tandem.PredictResponse.FromString,
        )
        answer = predict(tandem.PredictRequest(trips=[trip]), timeout=10)
    assert [(eta.eta_s, eta.source) for eta in answer.etas] == [(600.0, "model")]


@pytest.fixture(scope="module")
def triton_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with tritonclient, which can't be installed beside Ray: it wants an older protobuf."""
    place = tmp_path_factory.mktemp("tritonclient")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not uv:
        pytest.skip("no uv to make an environment for tritonclient with")
    python = place / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, python.parents[1]], check=True)
    lock = ["--require-hashes", "-r", str(CONFORMANCE / "tritonclient.lock")]
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *lock], check=True)
    return python


def test_open_inference_by_a_client_we_did_not_write(stack: Running, triton_python: Path) -> None:
    """`tritonclient` finds its way over HTTP, in JSON and binary, and over gRPC."""
    width = len(ETA_SCHEMA.features)
    words = [triton_python, CONFORMANCE / "oip_client.py", stack.url.removeprefix("http://"), stack.result["grpc"]]
    done = subprocess.run([*words, str(width)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    http, over_grpc = found["http"], found["grpc"]
    assert http["live"] and http["ready"] and http["model_ready"] and http["version_ready"]  # noqa: PT018
    assert not http["unknown_ready"]
    assert http["server"] == over_grpc["server"] == "tandem"
    assert http["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, width]}]
    assert http["json"] == http["binary"] == over_grpc["binary"] == [600.0] * 3
    assert http["json_id"] == http["binary_id"] == "r1"
    assert http["refused"] == "422"
    assert over_grpc["live"] and over_grpc["ready"] and over_grpc["model_ready"]  # noqa: PT018
    assert over_grpc["outputs"] == ["eta_s", "low_s", "high_s"]
    assert over_grpc["refused"] == "StatusCode.NOT_FOUND"


def test_bad_requests_through_the_front(stack: Running) -> None:
    """Bad requests get the same documents from the real server, the large ones too."""
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        for request in bad_requests(219, time.time(), seed=2):
            if not request.body and request.method != "GET":
                continue  # without a body httpx sends no content type's worth of one
            content = dict(request.headers)
            check(request, client.request(request.method, request.path, content=request.body, headers=content))


def trip_ended(number: int) -> tuple[str, bytes]:
    """A trip that ended just now."""
    ended = datetime.now(UTC) - timedelta(seconds=15)
    trip = TripEnded(
        schema_version=1,
        trip_id=f"e2e-{number}",
        pickup_at=ended - timedelta(seconds=600),
        dropoff_at=ended,
        pickup_zone="1",
        dropoff_zone="2",
    )
    return "1", encode_event(trip)


def done(stack: Running, topic: str) -> int:
    """How many messages of a topic `tandem status` says are done."""
    return int(status(stack.home)["stream"].get(topic, {}).get("done", 0))


def test_events_move_what_an_eta_sees(stack: Running) -> None:
    """Trips put into the outbox come to be in the features of an answer, which is an event of its own."""
    stream = RedisStream(Stack(stack.home).read_record()["redis_url"])
    predictions = stream.subscribe(PREDICTIONS, "e2e")
    outbox = Outbox(Layout(stack.home).outbox)
    outbox.put(TRIPS_ENDED, [trip_ended(i) for i in range(5)])
    outbox.put(TRIPS_ENDED, [trip_ended(0), ("", b"poison")])
    counts: list[float | None] = []

    def seen() -> bool:
        with httpx.Client() as client:
            stack.eta(client)
        for message in predictions.poll(100, 0.5):
            features = msgspec.json.decode(message.payload, type=PredictionEvent).data.features
            counts.append(features and features["city_count_60m"])
        predictions.commit()
        return 5.0 in counts

    until(seen, "five trips in the features")
    until(lambda: done(stack, TRIPS_ENDED) >= 6, "the status")
    found = status(stack.home)["stream"]
    assert (found[TRIPS_ENDED]["dead_letter"], found[TRIPS_ENDED]["lag"], found["outbox"]["done"]) == (1, 0, 7)
    assert outbox.waiting() == 0
    metrics = httpx.get(f"{stack.url}/metrics").text
    assert 'tandem_stream_messages_total{result="dead_letter",topic="trips.ended"} 1.0' in metrics
    outbox.close()
    stream.close()


def test_drivers_are_where_they_last_were(stack: Running) -> None:
    """A move that was published is a position that dispatch can read."""
    url, now = Stack(stack.home).read_record()["redis_url"], datetime.now(UTC)
    stream = RedisStream(url)
    for ago_s, lon in ((0, -73.985), (5, -73.975)):
        at = now - timedelta(seconds=ago_s)
        move = DriverMoved(schema_version=1, driver_id="d1", at=at, lat=40.755, lon=lon)
        stream.publish(DRIVERS_MOVED, [("d1", encode_event(move))])
    stream.close()

    async def where() -> list[DriverPosition]:
        reader = RedisDriverPositions(RedisPipe(url))
        try:
            return await reader.positions("1", time.time())
        finally:
            await reader.close()

    until(lambda: [(p.driver, p.lon) for p in asyncio.run(where())] == [("d1", -73.985)], "the driver in zone 1")


def test_recorded_traffic_is_answered(stack: Running) -> None:
    """`tandem replay --trips` at twenty a second for some seconds: every request a success, no trip ended yet."""
    found = replay_trips(stack.home, Layout(stack.home).trips, peak=20.0, seconds=5.0)
    assert found["ok"], found
    assert found["statuses"] == {"200": found["requests"]}
    assert (found["trips_ended"], found["under_way"]) == (0, found["requests"])


def test_a_killed_consumer_comes_back(stack: Running) -> None:
    """The supervisor starts it again, and it goes on with what it had not committed."""
    before = stack.pid("stream")
    os.kill(before, 9)
    outbox = Outbox(Layout(stack.home).outbox)
    outbox.put(TRIPS_ENDED, [trip_ended(100)])
    until(lambda: stack.pid("stream") not in (None, before), "a new consumer")
    until(lambda: done(stack, TRIPS_ENDED) == 1, "its first message")
    outbox.close()


def test_a_killed_replica_is_not_missed(stack: Running) -> None:
    """SIGKILL of one replica fails no request, and another takes its place."""
    until(lambda: stack.ready() == 2, "both replicas")
    victim = stack.replicas()[0]
    with Callers(stack) as callers:
        victim.kill()
        until(lambda: len(stack.replicas()) >= 2 and victim not in stack.replicas(), "a new replica")
        until(lambda: stack.ready() == 2, "both replicas again")
    assert set(callers.seen) == {"model"}


def test_a_killed_online_store(stack: Running) -> None:
    """Without the store the heuristic answers; no request fails, and the model is back when the store is."""
    before = stack.pid("valkey")
    with Callers(stack) as callers:
        os.kill(before, 9)
        until(lambda: stack.pid("valkey") not in (None, before), "a new Valkey")
        asked = callers.seen["model"]
        until(lambda: callers.seen["model"] > asked + 20, "the model")
    assert set(callers.seen) <= {"model", "fallback"}


def test_a_killed_front_comes_back(stack: Running) -> None:
    """The supervisor starts HAProxy again."""
    before = stack.pid("front")
    os.kill(before, 9)
    until(lambda: stack.pid("front") not in (None, before) and status(stack.home)["ready"], "a new front")


def test_a_killed_supervisor_leaves_nothing_behind(stack: Running) -> None:
    """`down` finds every process of a stack whose supervisor was killed."""
    supervisor = Stack(stack.home).supervisor()
    assert supervisor
    supervisor.kill()
    until(lambda: Stack(stack.home).supervisor() is None, "its end")
    assert not status(stack.home)["ok"]
    assert down(stack.home) == {"ok": True, "stopped": True, "left": []}
    assert not status(stack.home)["up"]
