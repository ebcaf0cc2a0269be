"""What Serve knows, for `/metrics`: the process beside its controller writes two files, the replicas read them.

One holds what the controller says of the deployment: replicas by state, how many there should be, health, how often one
was started. The other is Serve's own `ray_serve_…`, which an agent of Ray's shows on a port that nobody knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from serving.component_metrics import write_whole
from serving.metric_cells import Family, Kind, Series

STATES: Final = ("STARTING", "UPDATING", "RECOVERING", "RUNNING", "PENDING_MIGRATION", "STOPPING")
DEPLOYMENT_STATES: Final = ("UPDATING", "HEALTHY", "UNHEALTHY", "UPSCALING", "DOWNSCALING", "DEPLOY_FAILED")
_CONTROL: Final = "serve-deployment.json"
_OWN: Final = "serve-metrics.txt"
_SERVES: Final = ("ray_serve_", "# HELP ray_serve_", "# TYPE ray_serve_")
_DECODE: Final = msgspec.json.Decoder(list[Family]).decode


@dataclass
class ControlMetrics:
    """Follows a deployment from one look to the next."""

    started: int = 0
    _seen: set[str] = field(default_factory=set)

    def families(self, details: Mapping[str, Any], now: float) -> list[Family]:
        """Serve's details of one deployment -> metrics; `now` is epoch seconds."""
        replicas = {replica["replica_id"]: str(_plain(replica["state"])) for replica in details["replicas"]}
        self.started += len(replicas.keys() - self._seen)
        self._seen = set(replicas)
        states, status = Counter(replicas.values()), str(_plain(details["status"]))
        return [
            _family(
                "tandem_serve_replicas",
                "Replicas by Serve's state",
                "gauge",
                {name: states[name] for name in {**dict.fromkeys(STATES), **states}},
            ),
            _family(
                "tandem_serve_deployment_status",
                "1 for the status that Serve gives the deployment",
                "gauge",
                {name: name == status for name in {**dict.fromkeys(DEPLOYMENT_STATES), status: None}},
            ),
            _one("tandem_serve_replicas_wanted", "Replicas there should be", "gauge", details["target_num_replicas"]),
            _one("tandem_serve_replicas_started_total", "Replicas that Serve has started", "counter", self.started),
            _one("tandem_serve_seen_timestamp_seconds", "When Serve was last asked for this", "gauge", now),
        ]


def serves_own(exposition: str) -> str:
    """Of what Ray's agent shows, the lines of Serve's metrics; the rest tells of Ray's insides, ten times as long."""
    return "".join(line for line in exposition.splitlines(keepends=True) if line.startswith(_SERVES))


def write_control(folder: Path, families: list[Family]) -> None:
    """Put what the controller says where `read_control` finds it."""
    write_whole(folder / _CONTROL, msgspec.json.encode(families))


def write_serves_own(folder: Path, text: str) -> None:
    """Put Serve's metrics where `read_serves_own` finds them."""
    write_whole(folder / _OWN, text.encode())


def read_control(folder: Path) -> list[Family]:
    """What the controller said last; nothing before the first time."""
    try:
        return _DECODE((folder / _CONTROL).read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return []


def read_serves_own(folder: Path) -> bytes:
    """Serve's metrics as they last were, in Prometheus' text format."""
    try:
        return (folder / _OWN).read_bytes()
    except FileNotFoundError:
        return b""


def forget(folder: Path) -> None:
    """Take away what a former run of Serve left."""
    for name in (_CONTROL, _OWN):
        (folder / name).unlink(missing_ok=True)


def _plain(name: Any) -> Any:
    return getattr(name, "value", name)  # Serve says it as an enumeration or as its value


def _family(name: str, words: str, kind: Kind, by_state: Mapping[str, float]) -> Family:
    return Family(name, words, kind, ("state",), (), [Series((of,), [float(n)]) for of, n in by_state.items()])


def _one(name: str, words: str, kind: Kind, value: float) -> Family:
    return Family(name, words, kind, (), (), [Series((), [float(value)])])
