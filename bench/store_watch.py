"""Watches the replicas' breakers from another process, so that reading does not delay the load."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from bench.exposition import total
from bench.tandem_stack import metrics_of

EVERY_S = 0.02
BREAKER, READS = "tandem_store_breaker_open", "tandem_store_reads_total"
Sighting = tuple[float, str, bool, float]  # perf_counter, replica, open, reads so far


@dataclass(frozen=True)
class Watch:
    """What was seen, in order."""

    sightings: Sequence[Sighting]

    def opened_after(self, moment: float, replicas: int) -> float | None:
        """When the last replica's breaker was first seen open; None where one never was."""
        first: dict[str, float] = {}
        for at, replica, is_open, _ in self.sightings:
            if at >= moment and is_open:
                first.setdefault(replica, at)
        return max(first.values()) if len(first) >= replicas else None

    def closed_after(self, moment: float, replicas: int) -> float | None:
        """When the last replica's breaker was seen closed for good, its reads going on; None where one never was."""
        since: dict[str, tuple[float, float]] = {}
        fresh: dict[str, float] = {}
        for at, replica, is_open, reads in self.sightings:
            if at < moment:
                continue
            if is_open:
                since.pop(replica, None)
                fresh.pop(replica, None)
                continue
            begin, before = since.setdefault(replica, (at, reads))
            if reads > before:
                fresh.setdefault(replica, begin)
        return max(fresh.values()) if len(fresh) >= replicas else None


@contextmanager
def watching(sockets: Sequence[Path]) -> Iterator[Callable[[], Watch]]:
    """Watch while the block runs; what is yielded ends the watch and returns what it saw."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_look, args=(list(map(str, sockets)), theirs), daemon=True)
    process.start()
    ours.recv()  # it has imported what it needs

    def ended() -> Watch:
        ours.send(None)
        return Watch(ours.recv())

    try:
        yield ended
    finally:
        process.terminate()
        process.join()


def _look(paths: list[str], pipe: Connection) -> None:
    sockets, seen = [Path(path) for path in paths], list[Sighting]()
    pipe.send(None)
    while not pipe.poll():
        asked = time.perf_counter()
        try:
            found = metrics_of(sockets)
        except OSError:
            found = {}
        now = time.perf_counter()
        for replica, samples in found.items():
            seen.append((now, replica, bool(total(samples, BREAKER)), total(samples, READS) or 0.0))
        time.sleep(max(0.0, EVERY_S - (time.perf_counter() - asked)))
    pipe.send(seen)
