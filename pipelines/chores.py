"""Work of the consumers that needs what they have no room for: each runs in a process of its own that ends."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

_LOG: Final = logging.getLogger(__name__)
_STOP_S: Final = 3.0
_AGAIN_S: Final = 30.0  # after one that failed


class Chore:
    """`python -m module` whenever it is due, one at a time; one that failed was told in the log and is due again."""

    def __init__(self, module: str, due: Callable[[float], bool]) -> None:
        self._module, self._due = module, due
        self._process: subprocess.Popen[bytes] | None = None
        self._again_at = math.inf
        self.failures = 0

    def look(self, now: float) -> None:
        """Start it where it is due, and see what became of it; `now` is epoch seconds."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._process = None
            if status:
                self.failures += 1
                self._again_at = now + _AGAIN_S
                _LOG.error("%s ended with status %d", self._module, status)
        if self._due(now) or now >= self._again_at:
            self._again_at = math.inf
            self._process = subprocess.Popen([sys.executable, "-m", self._module])

    def stop(self) -> None:
        """End it where it runs: each may be cut short anywhere."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Hourly:
    """Due once an hour, some minutes after it began, where there is anything to do; and soon after the start."""

    def __init__(self, anything: Callable[[], bool], *, began: float, offset_s: float = 360.0) -> None:
        self._anything, self._offset_s = anything, offset_s
        self._next = began + 60.0

    def __call__(self, now: float) -> bool:
        """Whether it is due; then it is not until the next hour."""
        if now < self._next:
            return False
        self._next = (now // 3600 + 1) * 3600 + self._offset_s
        return self._anything()


class Asked:
    """Due once for each time that a consumer, on any thread, asked for it; many at once are one."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """Let it be due."""
        self._asked.set()

    def __call__(self, _: float) -> bool:
        """Whether somebody asked."""
        asked = self._asked.is_set()
        self._asked.clear()
        return asked
