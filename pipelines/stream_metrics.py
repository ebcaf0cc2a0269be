"""What the consumers of the stream say of themselves: metrics for `/metrics`, and a few figures for `tandem status`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from serving.component_metrics import read_component
from serving.metric_cells import Family, Kind, Series

COMPONENT: Final = "stream"
_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 20.0, 30.0, 60.0, 300.0)
_RECENT: Final = 10_000
_QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "max": 1.0}
_LAG: Final = "tandem_stream_lag"
_MESSAGES: Final = "tandem_stream_messages_total"
_VISIBLE: Final = "tandem_stream_recent_visible_seconds"
_AGES: Final = "tandem_stream_visible_seconds"
_SEEN: Final = "tandem_stream_seen_timestamp_seconds"
_RESULTS: Final = {"committed": "done", "dead_letters": "dead_letter"}


class Ages:
    """Seconds from events to their effects: a histogram of all, and quantiles of the last ten thousand."""

    def __init__(self) -> None:
        self.cell = [0.0] * (len(_BOUNDS) + 2)  # the infinite bucket, and the sum
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, seconds: Sequence[float]) -> None:
        """Count some more."""
        for age in seconds:
            self.cell[bisect_left(_BOUNDS, age)] += 1
        self.cell[-1] += sum(seconds)
        self._recent.extend(seconds)

    def quantiles(self) -> dict[str, float | None]:
        """By name; None where there were none."""
        if not self._recent:
            return dict.fromkeys(_QUANTILES)
        found = np.quantile(np.array(self._recent), list(_QUANTILES.values())).round(3).tolist()
        return dict(zip(_QUANTILES, found, strict=True))


class Measured(Protocol):
    """A consumer, as far as its metrics go."""

    topic: str
    counts: Counter[str]
    ages: Ages


def families(consumers: Sequence[Measured], lags: Mapping[str, int], now: float) -> list[Family]:
    """All consumers' numbers; `lags` are those that are known, by topic, and `now` is epoch seconds."""
    messages: dict[tuple[str, ...], float] = {}
    effects: dict[tuple[str, ...], float] = {}
    recent: dict[tuple[str, ...], float] = {}
    for one in consumers:
        for name, count in list(one.counts.items()):  # other threads count meanwhile
            if name in _RESULTS:
                messages[one.topic, _RESULTS[name]] = count
            else:
                effects[one.topic, name] = count
        recent |= {(one.topic, name): age for name, age in one.ages.quantiles().items() if age is not None}
    visible = [Series((one.topic,), list(one.ages.cell)) for one in consumers]
    behind: dict[tuple[str, ...], float] = {(topic,): float(lag) for topic, lag in list(lags.items())}
    return [
        _family(_MESSAGES, "Messages committed and put aside", "counter", ("topic", "result"), messages),
        _family("tandem_stream_effects_total", "What messages did", "counter", ("topic", "effect"), effects),
        _family(_LAG, "Messages not committed; of predictions, bytes of the log", "gauge", ("topic",), behind),
        Family(
            "tandem_stream_visible_seconds", "From events to their effects", "histogram", ("topic",), _BOUNDS, visible
        ),
        _family(_VISIBLE, "The same of the last 10,000 events", "gauge", ("topic", "quantile"), recent),
        _family(_SEEN, "When the consumers last said this", "gauge", (), {(): now}),
    ]


def stream_status(folder: Path, now: float) -> dict[str, dict[str, Any]]:
    """By topic: lag, messages done and put aside, quantiles in s, and how long ago the consumers said so."""
    found = {family.name: {one.labels: one.values[0] for one in family.series} for family in _read(folder)}
    if _SEEN not in found:
        return {}
    said_s = round(now - found[_SEEN][()], 1)
    topics = dict.fromkeys(labels[0] for name in (_MESSAGES, _LAG) for labels in found.get(name, {}))
    return {
        topic: {
            "lag": _whole(found.get(_LAG, {}).get((topic,))),
            **{result: _whole(found.get(_MESSAGES, {}).get((topic, result), 0.0)) for result in _RESULTS.values()},
            **{f"visible_{name}_s": found.get(_VISIBLE, {}).get((topic, name)) for name in ("p50", "p99")},
            "said_s_ago": said_s,
        }
        for topic in topics
    }


def _read(folder: Path) -> list[Family]:
    return read_component(folder, COMPONENT)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _family(
    name: str, words: str, kind: Kind, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> Family:
    return Family(name, words, kind, labels, (), [Series(of, [float(value)]) for of, value in values.items()])
