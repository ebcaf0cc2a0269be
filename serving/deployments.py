"""Thin Ray Serve actors: Serve places, watches and replaces them; requests do not pass through it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from ray.serve._private import replica as serve_replica

from contracts.errors import Unavailable
from serving.grpc_api import serve as serve_grpc
from serving.listener import Listener, claim_slot, grpc_path, socket_path
from serving.metrics_all import TierMetrics
from serving.placement import listener_cpu
from serving.replica import Follower, compose
from serving.scaling import UTILISATION, LoadMeter
from serving.settings import Settings

_LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"
_HEALTH_S: Final = 2.0
# The front asks four times a second and believes the second refusal.
_FRONT_NOTICES_S: Final = 0.8


class OnlineReplica:
    """One replica of the online tier: a listener of its own, watched by Serve through `check_health`."""

    def __init__(self, settings: Settings, sockets: str, slots: int) -> None:
        logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT)
        keep_errors(settings.home / "run")
        _keep_serve_on_loopback()
        self._drain_s = settings.drain_s
        folder = Path(sockets)
        self._lock, slot = claim_slot(folder, slots)
        self._replica = compose(settings, lambda own: TierMetrics(folder, slots, slot, own).exposition)
        self._replica.start()
        self._load = LoadMeter(time.monotonic(), time.process_time(), 0.0)
        grpc = partial(serve_grpc, self._replica.grpc_api.handlers(), grpc_path(folder, slot), settings.drain_s)
        background: tuple[Follower, ...] = (self._replica.follow_routes, *self._replica.followers, grpc)
        cpu = listener_cpu(os.sched_getaffinity(0), slot, settings.most)
        self._listener = Listener(self._replica.api, socket_path(folder, slot), background, cpu=cpu)
        self._listener.start()

    async def check_health(self) -> None:
        """A real prediction on the listener's own loop: a wedged loop is an ill replica, whatever the actor says."""
        try:
            await asyncio.to_thread(self._listener.call, self._replica.estimator.check(), _HEALTH_S)
        except TimeoutError:
            raise Unavailable("listener", "wedged", f"no answer within {_HEALTH_S} s") from None

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Serve's controller how busy this replica is; it asks only where the number of replicas may change."""
        busy_s = self._replica.admission.busy_s
        return {UTILISATION: self._load.sample(time.monotonic(), time.process_time(), busy_s)}

    async def __call__(self, *_: Any) -> dict[str, Any]:
        """Say what this replica serves, to whoever holds a handle."""
        table = self._replica.routing.table
        return {"generation": table.generation, "champion": table.champion}

    async def __del__(self) -> None:
        """Drain: refuse readiness, let the front notice, finish what has begun."""
        listener = getattr(self, "_listener", None)
        if listener is None:  # the constructor failed
            return
        self._replica.api.draining = True
        await asyncio.sleep(_FRONT_NOTICES_S)
        with contextlib.suppress(RuntimeError):
            await asyncio.to_thread(listener.stop, self._drain_s)
        await asyncio.to_thread(self._replica.close)


class _ErrorFile(logging.FileHandler):
    """A file that can't be opened is no reason to fail what only wanted to say something."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write, where the disk lets us; opening is outside of what the base class guards."""
        with contextlib.suppress(OSError):
            super().emit(record)


def keep_errors(run: Path) -> None:
    """Write errors, with their causes, to the stack's log as well: Ray's logs of its workers end with the stack."""
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = _ErrorFile(run / "tandem.log", delay=True)
    log.setLevel(logging.ERROR)
    log.setFormatter(logging.Formatter(_LOG_FORMAT))
    logging.getLogger().addHandler(log)


def _keep_serve_on_loopback() -> None:
    """Bind Serve's port for calls between replicas to loopback; by itself it listens on every interface.

    It has no setting for that, takes pickles, and is opened after this constructor. On a cluster of several machines
    the replicas of different machines do not call one another: a request is answered where it arrives.
    """
    bind = serve_replica.add_port_to_grpc_server
    serve_replica.add_port_to_grpc_server = lambda server, address: bind(server, address.replace("[::]", "127.0.0.1"))
