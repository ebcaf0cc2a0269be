"""Where time goes: a signal every so often, and the innermost of our functions at each.

By the wall clock, whose timer is finer than the kernel's tick, so for work that does not wait. A handler runs between
two bytecodes of the main thread, so that time in C counts for the function that called it.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Mapping
from types import FrameType
from typing import Final

ROOMS: Final = ("serving", "adapters", "contracts")
ELSEWHERE: Final = "the event loop and the driver"

# The first entry that a function's name begins with says its stage.
STAGES: Final[tuple[tuple[str, str], ...]] = (
    ("serving.api.Api._decode", "decode"),
    ("contracts.messages", "decode"),
    ("serving.http1", "HTTP/1.1"),
    ("serving.request_queue", "HTTP/1.1"),
    ("serving.exchange", "HTTP/1.1"),
    ("serving.running", "model"),
    ("serving.records", "prediction log"),
    ("serving.shadow", "shadow"),
    ("serving.routing", "route"),
    ("serving.traffic", "route"),
    ("contracts.routes", "route"),
    ("contracts.distance", "columns"),
    ("serving.work", "the use case itself"),
    ("serving.intake", "body and headers"),
    ("serving.trips.resolve", "resolve places and times"),
    ("serving.trips._position", "resolve places and times"),
    ("serving.trips._", "resolve places and times"),
    ("serving.places", "resolve places and times"),
    ("contracts.transforms.trip_keys", "keys"),
    ("serving.trips.CityTrips.keys", "keys"),
    ("contracts.zones.pair_key", "keys"),
    ("serving.cached_rows", "cache"),
    ("serving.cache", "cache"),
    ("adapters.online_store", "store (refreshes)"),
    ("adapters.redis_pipe", "store (refreshes)"),
    ("serving.features", "rows to looked-up columns"),
    ("contracts.transforms", "columns"),
    ("contracts.local_time", "columns"),
    ("contracts.zones", "columns"),
    ("serving.trips", "columns"),
    ("contracts.schema", "matrix"),
    ("adapters.onnx_session", "model"),
    ("serving.telemetry", "telemetry"),
    ("serving.metric_cells", "telemetry"),
    ("serving.prediction_log", "prediction log"),
    ("contracts.predictions", "prediction log"),
    ("adapters.segment_writer", "prediction log"),
    ("adapters.prediction_segments", "prediction log"),
    ("serving.request_ids", "request id"),
    ("serving.admission", "admission"),
    ("serving.eta._answers", "answers"),
    ("serving.sanity.sane", "checks of the estimate"),
    ("serving.eta", "the use case itself"),
    ("serving.call", "the use case itself"),
    ("serving.api", "routing, encoding, answering"),
)


class Profile:
    """Samples the main thread while entered; belongs in the main thread."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._counts: Counter[str] = Counter()

    @property
    def samples(self) -> int:
        """How many were taken."""
        return self._counts.total()

    def __enter__(self) -> None:
        """Begin."""
        self._previous = signal.signal(signal.SIGALRM, self._take)
        signal.setitimer(signal.ITIMER_REAL, self._interval_s, self._interval_s)

    def __exit__(self, *_: object) -> None:
        """End."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._previous)

    def shares(self) -> dict[str, float]:
        """Share of the samples by function, the largest first."""
        return {name: count / max(1, self.samples) for name, count in self._counts.most_common()}

    def _take(self, _signal: int, frame: FrameType | None) -> None:
        self._counts[_ours(frame)] += 1


def stages(shares: Mapping[str, float]) -> dict[str, float]:
    """Sum shares by stage, the largest first; a function that no stage claims stands for itself."""
    found: Counter[str] = Counter()
    for name, share in shares.items():
        stage = next((stage for prefix, stage in STAGES if name.startswith(prefix)), name)
        found[stage] += share  # type: ignore[assignment] # a Counter of floats
    return dict(found.most_common())


def _ours(frame: FrameType | None) -> str:
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in ROOMS:
            return f"{module}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return ELSEWHERE
