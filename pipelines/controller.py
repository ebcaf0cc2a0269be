"""The rollouts' process: the controller looks once a second on one thread, the admin API answers on another.

A home has one; where several homes share a database, the lease lets one of them act. It may be killed at any
instruction: the next one takes its lease over at once and goes on from the state database.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from adapters.webhook import HttpWebhook
from contracts.clock import SystemClock
from contracts.errors import InvalidInput, TandemError, Unavailable
from model_registry.admin import Admin
from model_registry.controller import Controller
from model_registry.ports import EvidenceSource
from pipelines.evidence import open_evidence
from pipelines.layout import MODEL
from pipelines.rollout_store import opened, published
from serving.admin_api import AdminApi
from serving.listener import Listener, admin_path
from serving.settings import Settings, load_settings

_TICK_S: Final = 1.0
_DRAIN_S: Final = 2.0
_ANSWER_S: Final = 10.0
_LOG: Final = logging.getLogger(__name__)


class AlreadyControlled(TandemError):
    """Another process has this home's rollouts."""

    def __init__(self, home: Path) -> None:
        super().__init__(f"a controller of {home} runs already; `tandem status` shows its pid")


def main() -> int:
    """Control until told to end; TANDEM_HOME is the home, TANDEM_SOCKETS the folder of the admin API's socket."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    try:
        settings, sockets = load_settings(os.environ), os.environ.get("TANDEM_SOCKETS")
        if not sockets:
            raise InvalidInput("TANDEM_SOCKETS", "is not set, must be the folder of the stack's sockets")
        run(settings, Path(sockets), open_evidence(settings), stop)
    except TandemError as error:
        _LOG.error("rollouts are not controlled: %s", error)
        return 1
    return 0


def run(settings: Settings, sockets: Path, evidence: EvidenceSource, stop: threading.Event) -> None:
    """Look and answer until `stop` is set; raises AlreadyControlled."""
    clock, registry = SystemClock(), published(settings)
    with _alone(settings.home), opened(settings) as (ledger, state):
        holder = f"{socket.gethostname()}:{settings.home.resolve()}"
        webhook = HttpWebhook(settings.webhook_url, settings.webhook_secret.encode()) if settings.webhook_url else None
        controller = Controller(ledger, state, evidence, registry, clock=clock, holder=holder, webhook=webhook)
        admin = Admin(ledger, state, registry, clock, (MODEL,))
        path = admin_path(sockets)
        path.unlink(missing_ok=True)  # of one that was killed
        listener = Listener(AdminApi(admin), path, ())
        listener.start()
        try:
            _follow(controller, listener, stop)
        finally:
            listener.stop(_DRAIN_S)
            with contextlib.suppress(Unavailable):  # it runs out by itself
                controller.stop()


def _follow(controller: Controller, listener: Listener, stop: threading.Event) -> None:
    """Tick until told to stop; a tick that fails is said once, not once a second.

    Raises Unavailable where the admin API is gone or stuck: the supervisor starts a new process.
    """
    said = ""
    while not stop.is_set():
        try:
            controller.tick(MODEL)
            said = ""
        except Exception as error:  # noqa: BLE001 - the next one may do better, and people can still act
            if repr(error) != said:
                _LOG.exception("a look at the rollouts of %s failed", MODEL)
            said = repr(error)
        try:
            listener.call(asyncio.sleep(0), _ANSWER_S)
        except TimeoutError:
            raise Unavailable("admin API", "wedged", f"no answer within {_ANSWER_S:g} s") from None
        stop.wait(_TICK_S)


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the home's lock, which ends with its process: the next one is the same holder of the lease."""
    run_folder = home / "run"
    run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (run_folder / "rollouts.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyControlled(home) from None
        yield


if __name__ == "__main__":
    sys.exit(main())
