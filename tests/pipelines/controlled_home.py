"""A controller's process, as the supervisor starts it, but with evidence that is made up: run by test_controller.py."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path

from pipelines.controller import run
from serving.settings import Settings
from tests.steady_evidence import Steady

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    home, state_url = Path(sys.argv[1]), sys.argv[2]
    run(Settings(home=home, state_url=state_url), home, Steady(), stop)
