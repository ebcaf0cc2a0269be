"""How many replicas there should be: each reports how busy it is, Serve's controller asks the policy here.

Requests do not pass through Serve, so its own count of them is always zero; and in a replica that serves on one thread
requests under way say little below saturation. The share of its time that it is busy says how much more it could take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

UTILISATION: Final = "utilisation"


@dataclass
class LoadMeter:
    """Busy seconds a second, between one sample and the next.

    The greater of two: processor time of the process, which holds all work but falls where another takes the
    processor away, and the time that requests held the event loop, which does not.
    """

    at: float
    cpu_s: float
    held_s: float

    def sample(self, now: float, cpu_s: float, held_s: float) -> float:
        """Take both sums at `now` (seconds of a monotonic clock)."""
        passed = max(now - self.at, 1e-3)
        busy = max(cpu_s - self.cpu_s, held_s - self.held_s, 0.0) / passed
        self.at, self.cpu_s, self.held_s = now, cpu_s, held_s
        return busy


class Context(Protocol):
    """What Serve tells a policy, as far as it is of interest here."""

    current_num_replicas: int
    target_num_replicas: int
    aggregated_metrics: Mapping[str, Mapping[Any, float]]


def replicas_for(utilisations: list[float], running: int, target: float) -> float:
    """Replicas that would each be busy for `target` of the time; one that said nothing is taken for an average one."""
    return sum(utilisations) / len(utilisations) * running / target


class UtilisationPolicy:
    """Serve's policy; delays, bounds and the average over time are Serve's own."""

    def __init__(self, target: float) -> None:
        self._target = target

    def __call__(self, context: Context) -> tuple[float, dict[str, Any]]:
        """How many replicas are wanted; where none has reported, as many as there should be now."""
        reported = [*(context.aggregated_metrics or {}).get(UTILISATION, {}).values()]
        if not reported:
            return float(context.target_num_replicas), {}
        return replicas_for(reported, context.current_num_replicas, self._target), {}
