"""A consumer that kills itself at a named point of its work, as a machine would; run by test_live_features."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.invalidations import invalidations_stream
from adapters.online_store import RedisOnlineStore
from adapters.online_writer import RedisOnlineWriter
from adapters.redis_pipe import RedisPipe
from adapters.redis_stream import RedisStream, RedisStreamPolicy
from adapters.streams import Stream
from adapters.tables import read_zones
from adapters.window_cells import RedisWindowCells
from contracts.clock import Clock, SystemClock
from contracts.features import VIEWS
from contracts.zones import Zones
from pipelines.live_features import LiveFeatures, Outside
from pipelines.stream import GROUP
from pipelines.trip_references import References

CLAIM_S = 0.3


def outside(url: str, topic: str, stream: Stream | None = None) -> Outside:
    """Everything real."""
    stream = stream or RedisStream(url, RedisStreamPolicy(claim_after_s=CLAIM_S))
    return Outside(
        trips=stream.subscribe(topic, GROUP),
        cells=RedisWindowCells(url),
        references=References(RedisOnlineStore(RedisPipe(url), VIEWS)),
        writer=RedisOnlineWriter(url, VIEWS),
        invalidations=invalidations_stream(url),
    )


def live_features(of: Outside, zones: Zones, clock: Clock | None = None) -> LiveFeatures:
    """The stream under test."""
    return LiveFeatures(of, zones, clock or SystemClock())


def dies_after(thing: Any, method: str, calls: int) -> None:
    """Let a method do its work so many times, and then end the process at once."""
    work: Callable[..., Any] = getattr(thing, method)
    done = 0

    def once_more(*arguments: Any, **named: Any) -> Any:
        nonlocal done
        result = work(*arguments, **named)
        done += 1
        if done == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(thing, method, once_more)


def main() -> None:
    """url, topic, zones, and where to die: a part of Outside, its method, how many calls."""
    url, topic, zones, part, method, calls = sys.argv[1:]
    of = outside(url, topic)
    dies_after(getattr(of, part), method, int(calls))
    features = live_features(of, read_zones(Path(zones)))
    while True:
        features.step(0.1)


if __name__ == "__main__":
    main()
