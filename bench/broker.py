"""A Valkey of a suite's own: broker, cells and online store in one, to be killed, stopped and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import redis

from adapters.valkey import EmbeddedValkey, embedded_valkey
from contracts.events import dead_letter_topic

READY_S = 20.0


class Broker:
    """One server with its append-only file, on one port and socket for as long as the suite lasts."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.at: EmbeddedValkey = embedded_valkey(folder / "data", folder)
        self.at.configure()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = redis.Redis.from_url(self.at.url, socket_timeout=5.0)

    def start(self) -> float:
        """Start it, again with what its file holds; returns the seconds until it answered."""
        begun = time.monotonic()
        self._process = subprocess.Popen(self.at.command(), stdout=subprocess.DEVNULL, cwd=self.at.data)
        while not self.at.ready():
            if self._process.poll() is not None or time.monotonic() - begun > READY_S:
                raise OSError(f"Valkey is not ready after {time.monotonic() - begun:.0f} s")
            time.sleep(0.02)
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Let it stand still."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def erase(self) -> None:
        """Lose everything."""
        self._client.flushall()

    def lag(self, topic: str) -> int:
        """How many messages of a topic its groups have not committed."""
        return sum(int(group["pending"]) + int(group["lag"] or 0) for group in self._client.xinfo_groups(topic))

    def length(self, topic: str) -> int:
        """How many messages a topic holds."""
        return int(self._client.xlen(topic))

    def dead_letters(self, topic: str) -> int:
        """How many of its messages were put aside."""
        return self.length(dead_letter_topic(topic))

    def payloads(self, topic: str) -> list[bytes]:
        """All that a topic holds, in its order."""
        found, last = list[bytes](), b"-"
        while part := self._client.xrange(topic, min=last, count=10_000):
            found += [fields[b"payload"] for _, fields in part]
            last = b"(" + part[-1][0]
        return found
