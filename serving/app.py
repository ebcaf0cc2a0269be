"""Composition root of the online tier: settings -> the Ray Serve application, and the process that keeps it up."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import ray
from ray import serve
from ray._private import parameter
from ray._private import worker as ray_worker
from ray._private.node import Node
from ray.serve.schema import LoggingConfig

from serving.deployments import OnlineReplica
from serving.front import slots
from serving.settings import Settings, load_settings

APPLICATION: Final = "tandem"
SOCKETS_VARIABLE: Final = "TANDEM_SOCKETS"  # the folder of the stack's sockets, from the supervisor
_OBJECT_STORE_BYTES: Final = 80 << 20  # about Ray's least; requests do not pass through it
_LOG: Final = logging.getLogger(__name__)


def build(settings: Settings, sockets: Path) -> Any:
    """The Serve application."""
    deployment = serve.deployment(
        OnlineReplica,
        name="online",
        num_replicas=settings.replicas,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=16,  # handle calls only
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=settings.drain_s + 5,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deployment.bind(settings, str(sockets), slots(settings))


def main() -> int:
    """Start Ray and the application here, stay until told to end, and end with everything that was started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings, sockets = load_settings(os.environ), Path(os.environ[SOCKETS_VARIABLE])
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        with _lean_ray():
            ray.init(
                address="local",
                namespace=APPLICATION,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(sockets / "ray"),
            )
        serve.start(proxy_location="Disabled", logging_config=LoggingConfig(enable_access_log=False))
        try:
            serve.run(build(settings, sockets), name=APPLICATION, route_prefix=None)
        except RuntimeError:
            _LOG.error("the application does not start: %s", _cause())
            return 1
        _LOG.info("%d replicas run", settings.replicas)
        return _watch(stop)
    finally:
        with contextlib.suppress(Exception):
            serve.shutdown()
        ray.shutdown()


def _watch(stop: threading.Event) -> int:
    """Wait for the end; returns 1 where one of Ray's own processes died: the supervisor starts all of it again."""
    node = ray_worker._global_node  # noqa: SLF001 - Ray has no other way to ask whether its head lives
    while not stop.wait(1.0):
        dead = [kind for kind, _ in node.dead_processes()]
        if dead:
            _LOG.error("Ray lost %s", ", ".join(dead))
            return 1
    return 0


def _cause() -> str:
    deployments = serve.status().applications[APPLICATION].deployments
    return "\n".join(deployment.message for deployment in deployments.values())


@contextlib.contextmanager
def _lean_ray() -> Iterator[None]:
    """Leave out Ray's autoscaler, log monitor and dashboard server: 190 MB and seconds of start that nothing here uses.

    `ray start` has options for the first two, `ray.init` has none; its own `include_dashboard=False` still starts the
    third. The agent gets any free port, so that two stacks on one machine don't meet on Ray's fixed one.
    """
    params, start_api_server = parameter.RayParams, Node.start_api_server

    class LeanParams(params):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            lean = {"no_monitor": True, "include_log_monitor": False, "dashboard_agent_listen_port": 0}
            super().__init__(*args, **{**kwargs, **lean})

    def no_api_server(self: Any, **_: Any) -> None:
        self._webui_url = None

    parameter.RayParams, Node.start_api_server = LeanParams, no_api_server
    try:
        yield
    finally:
        parameter.RayParams, Node.start_api_server = params, start_api_server


if __name__ == "__main__":
    sys.exit(main())
