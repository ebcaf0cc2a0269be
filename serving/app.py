"""Composition root of the online tier: settings -> the Ray Serve application, and the process that keeps it up."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import ray
from ray import serve
from ray._private import parameter
from ray._private import worker as ray_worker
from ray._private.node import Node
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.context import _get_global_client as get_global_client
from ray.serve.schema import LoggingConfig

from serving.control_metrics import ControlMetrics, forget, serves_own, write_control, write_serves_own
from serving.deployments import OnlineReplica
from serving.front import slots
from serving.scaling import UtilisationPolicy
from serving.settings import Settings, load_settings

APPLICATION: Final = "tandem"
DEPLOYMENT: Final = "online"
SOCKETS_VARIABLE: Final = "TANDEM_SOCKETS"  # the folder of the stack's sockets, from the supervisor
_REPORTS: Final = 5  # of a replica's load within the time it is averaged over
_LOOK_S: Final = 1.0
_LOOKS_AT_OWN: Final = 15  # looks from one reading of Serve's own metrics to the next: the agent collects for 10 s
_CONTROLLER_S: Final = 5.0
_OBJECT_STORE_BYTES: Final = 80 << 20  # about Ray's least; requests do not pass through it
_LOG: Final = logging.getLogger(__name__)


def build(settings: Settings, sockets: Path) -> Any:
    """The Serve application."""
    deployment = serve.deployment(
        OnlineReplica,
        name=DEPLOYMENT,
        **_numbers(settings),
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=16,  # handle calls only
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=settings.drain_s + 5,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deployment.bind(settings, str(sockets), slots(settings))


def _numbers(settings: Settings) -> dict[str, Any]:
    """A fixed number of replicas, or one that follows what they report."""
    if settings.fewest == settings.most:
        return {"num_replicas": settings.replicas}
    policy = AutoscalingPolicy(policy_function=UtilisationPolicy, policy_kwargs={"target": settings.scale_target})
    scaling = AutoscalingConfig(
        min_replicas=settings.fewest,
        initial_replicas=settings.replicas,
        max_replicas=settings.most,
        metrics_interval_s=settings.scale_window_s / _REPORTS,
        look_back_period_s=settings.scale_window_s,
        upscale_delay_s=settings.scale_up_delay_s,
        downscale_delay_s=settings.scale_down_delay_s,
        policy=policy,
    )
    return {"autoscaling_config": scaling}


def main() -> int:
    """Start Ray and the application here, stay until told to end, and end with everything that was started."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings, sockets = load_settings(os.environ), Path(os.environ[SOCKETS_VARIABLE])
    forget(sockets)
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
        with _reporting(sockets, stop):
            return _watch(stop)
    finally:
        with contextlib.suppress(Exception):
            serve.shutdown()
        ray.shutdown()


def _watch(stop: threading.Event) -> int:
    """Wait for the end; returns 1 where one of Ray's own processes died: the supervisor starts all of it again."""
    node = ray_worker._global_node  # noqa: SLF001 - Ray has no other way to ask whether its head lives
    while not stop.wait(_LOOK_S):
        dead = [kind for kind, _ in node.dead_processes()]
        if dead:
            _LOG.error("Ray lost %s", ", ".join(dead))
            return 1
    return 0


@contextlib.contextmanager
def _reporting(sockets: Path, stop: threading.Event) -> Iterator[None]:
    """Tell the replicas what Serve knows, meanwhile; on a thread, since a Ray that is in trouble may not answer."""
    thread = threading.Thread(target=_report, args=(sockets, stop), name="report", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_CONTROLLER_S)


def _report(sockets: Path, stop: threading.Event) -> None:
    control, looks, well = ControlMetrics(), 0, True
    while not stop.wait(_LOOK_S):
        try:
            write_control(sockets, control.families(_details(), time.time()))
            if looks % _LOOKS_AT_OWN == 0:
                write_serves_own(sockets, serves_own(_agents_metrics()))
            well = True
        except Exception as error:  # noqa: BLE001 - who is away, such as a controller being restored, is asked again
            if well:
                _LOG.warning("nothing new from Serve: %s", error)
            well = False
        looks += 1


def _details() -> dict[str, Any]:
    """What the controller knows of the deployment; `serve.status()` leaves out the replicas' ids and the target."""
    reference = get_global_client()._controller.get_serve_instance_details.remote()  # noqa: SLF001
    found: dict[str, Any] = ray.get(reference, timeout=_CONTROLLER_S)
    deployment: dict[str, Any] = found["applications"][APPLICATION]["deployments"][DEPLOYMENT]
    return deployment


def _agents_metrics() -> str:
    """Give the metrics of all of Ray; its agent shows them on any free port, which only Ray knows."""
    port = ray.nodes()[0]["MetricsExportPort"]
    agent = http.client.HTTPConnection("127.0.0.1", port, timeout=_CONTROLLER_S)
    with contextlib.closing(agent):
        agent.request("GET", "/metrics")
        return agent.getresponse().read().decode()


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
