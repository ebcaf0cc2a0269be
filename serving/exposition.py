"""Snapshots of one replica or of all -> Prometheus' text format.

Written here, since prometheus_client takes ten times as long and a scrape keeps requests waiting; the tests read it
with prometheus_client's parser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from serving.metric_cells import Family, Series

LOCAL_PATH: Final = "/metrics/local"  # one replica's snapshot, for the one that is asked for all
CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
REPLICA: Final = "replica"


def labelled(snapshots: Mapping[str, Sequence[Family]]) -> list[Family]:
    """Join the snapshots of several replicas, each series with the label of its replica.

    Summed here, a replica that is gone or slow for once would make a counter fall and rise again, which `rate()` takes
    for a restart and counts anew. With a label, each restart is one series' own, and `sum without (replica)` is right.
    """
    joined: dict[str, Family] = {}
    for replica, families in snapshots.items():
        for family in families:
            series = [Series((*one.labels, replica), one.values) for one in family.series]
            first = joined.get(family.name)
            if first is None:
                joined[family.name] = msgspec.structs.replace(family, labels=(*family.labels, REPLICA), series=series)
            # Two releases may run side by side in a rolling update: the one who is asked says what is shown.
            elif (*family.labels, REPLICA) == first.labels and family.bounds == first.bounds:
                first.series.extend(series)
    return list(joined.values())


def render(families: Iterable[Family]) -> bytes:
    """The text."""
    lines: list[str] = []
    for family in families:
        lines += (f"# HELP {family.name} {_escape(family.words)}", f"# TYPE {family.name} {family.kind}")
        for one in family.series:
            lines += _histogram(family, one) if family.kind == "histogram" else [_sample(family, one)]
    lines.append("")
    return "\n".join(lines).encode()


def _sample(family: Family, one: Series) -> str:
    labels = _labels(family, one)
    return f"{family.name}{{{labels}}} {one.values[0]}" if labels else f"{family.name} {one.values[0]}"


def _histogram(family: Family, one: Series) -> Iterator[str]:
    labels = _labels(family, one)
    before = f'{family.name}_bucket{{{labels}{"," if labels else ""}le="'
    own = f"{{{labels}}}" if labels else ""
    *counts, total = one.values
    count = 0.0
    for bound, count in zip((*family.bounds, "+Inf"), accumulate(counts), strict=True):
        yield f'{before}{bound}"}} {count}'
    yield f"{family.name}_count{own} {count}"
    yield f"{family.name}_sum{own} {total}"


def _labels(family: Family, one: Series) -> str:
    pairs = sorted(zip(family.labels, one.labels, strict=True))
    return ",".join(f'{name}="{_escape(value, quotes=True)}"' for name, value in pairs)


def _escape(words: str, *, quotes: bool = False) -> str:
    words = words.replace("\\", r"\\").replace("\n", r"\n")
    return words.replace('"', r"\"") if quotes else words
