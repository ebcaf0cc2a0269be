"""What dispatch counts; on the listener's thread only, as all of `Telemetry`."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from serving.matchmaker import Matched
from serving.metric_cells import Cell
from serving.telemetry import Telemetry

MATCHING_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
WAIT_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0)


class DispatchMetrics:
    """Riders by what became of them, times of the parts, windows."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._riders = telemetry.cells(
            "tandem_dispatch_riders_total",
            "Riders that were to be matched, by what became of them",
            ("policy", "source", "outcome"),
        )
        self._reasons = telemetry.cells(
            "tandem_dispatch_reasons_total", "Matchings that are less than they could be", ("reason",)
        )
        self._parts = telemetry.cells(
            "tandem_dispatch_seconds", "Seconds of a matching, by part: matrix or solve", ("part",), MATCHING_S
        )
        self._rides = telemetry.cells("tandem_rides_total", "Rides that were answered, by the answer", ("outcome",))
        self._waits = telemetry.cells(
            "tandem_ride_wait_seconds", "From a ride's request to its answer", ("outcome",), WAIT_S
        )
        self._windows = telemetry.cells("tandem_ride_windows_total", "Windows that closed with somebody in them")

    def matched(self, matched: Matched, riders: int) -> None:
        """Count a matching."""
        made = matched.assignment
        pairs = len(made.rider)
        self._riders.cell(matched.policy, matched.source, "matched")[0] += pairs
        self._riders.cell(matched.policy, matched.source, "unmatched")[0] += riders - pairs
        if matched.reason:
            self._reasons.cell(str(matched.reason))[0] += 1
        _observe(self._parts.cell("matrix"), MATCHING_S, made.matrix_s)
        _observe(self._parts.cell("solve"), MATCHING_S, made.solve_s)

    def window(self) -> None:
        """Count a window."""
        self._windows.cell()[0] += 1

    def ride(self, outcome: str, seconds: float) -> None:
        """Count an answered ride."""
        self._rides.cell(outcome)[0] += 1
        _observe(self._waits.cell(outcome), WAIT_S, seconds)


def _observe(cell: Cell, bounds: tuple[float, ...], seconds: float) -> None:
    cell[bisect_left(bounds, seconds)] += 1
    cell[-1] += seconds
