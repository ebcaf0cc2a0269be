"""What one replica counts: requests, estimates, where their time went; and numbers read when somebody looks."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from serving.call import Call
from serving.exposition import CONTENT_TYPE, render
from serving.metric_cells import Cell, Cells, Family, Series

# The service levels are bounds (150 ms, and 60 ms for the model), and so are the ends of a rejection (20 ms) and of a
# warm request (250 µs): what is asked about is counted, not interpolated.
SECONDS: Final = (
    *(0.00005, 0.0001, 0.00015, 0.0002, 0.00025, 0.0003, 0.0004, 0.0005, 0.00075, 0.001, 0.0015, 0.0025, 0.005),
    *(0.01, 0.02, 0.03, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)


class Telemetry:
    """Counts, without a lock: `finished`, `called`, `estimated` and `turned_away` are for one thread.

    That is the listener's, which serves HTTP and gRPC. `refused` is for the one that loads versions.
    """

    def __init__(self) -> None:
        self._requests = Cells("tandem_requests_total", "Answered requests", ("route", "status"))
        self._seconds = Cells(
            "tandem_request_duration_seconds", "Server time of a request, from its arrival", ("route",), SECONDS
        )
        self._estimates = Cells(
            "tandem_estimates_total",
            "Answered trips, by where the answer came from; reason is empty for the model",
            ("model", "arm", "source", "reason"),
        )
        self._arm_seconds = Cells(
            "tandem_arm_seconds", "From a request's turn until its answer is ready, by arm", ("arm",), SECONDS
        )
        self._features_seconds = Cells("tandem_features_seconds", "Waiting for features", (), SECONDS)
        self._model_seconds = Cells("tandem_model_seconds", "Model call", ("arm",), SECONDS)
        self._turned_away = Cells("tandem_turned_away_total", "Requests refused for load", ("reason",))
        self._refused = Cells("tandem_artifacts_refused_total", "Versions that failed a check", ("check",))
        self._more: list[Cells] = []
        self._watched: dict[str, tuple[str, tuple[str, ...], Callable[[], Mapping[tuple[str, ...], float]]]] = {}
        # What is looked up on every request, by what the caller has in hand.
        self._of_request: dict[tuple[str, int | str], tuple[Cell, Cell]] = {}
        self._of_estimate: dict[tuple[str, str, str, str], Cell] = {}
        self._of_arm: dict[str, tuple[Cell, Cell]] = {}
        self._features = self._features_seconds.cell()

    def finished(self, route: str, status: int | str, seconds: float) -> None:
        """Count an answered request; `seconds` are from its arrival."""
        cells = self._of_request.get((route, status))
        if cells is None:
            cells = self._requests.cell(route, str(status)), self._seconds.cell(route)
            self._of_request[route, status] = cells
        count, times = cells
        count[0] += 1
        times[bisect_left(SECONDS, seconds)] += 1
        times[-1] += seconds

    def called(self, call: Call) -> None:
        """Take where an answered call's time went, and its arm's."""
        spent_s = time.perf_counter() - call.started
        cells = self._of_arm.get(call.arm)
        if cells is None:
            cells = self._of_arm[call.arm] = self._arm_seconds.cell(call.arm), self._model_seconds.cell(call.arm)
        arm, model = cells
        arm[bisect_left(SECONDS, spent_s)] += 1
        arm[-1] += spent_s
        model[bisect_left(SECONDS, call.model_s)] += 1
        model[-1] += call.model_s
        features = self._features
        features[bisect_left(SECONDS, call.features_s)] += 1
        features[-1] += call.features_s

    def estimated(self, model: str, arm: str, source: str, reason: str, trips: int) -> None:
        """Count answered trips."""
        cell = self._of_estimate.get((model, arm, source, reason))
        if cell is None:
            cell = self._of_estimate[model, arm, source, reason] = self._estimates.cell(model, arm, source, str(reason))
        cell[0] += trips

    def turned_away(self, reason: str) -> None:
        """Count a request that was refused for load."""
        self._turned_away.cell(str(reason))[0] += 1

    def refused(self, check: str) -> None:
        """Count a version that was refused."""
        self._refused.cell(check)[0] += 1

    def cells(
        self, name: str, words: str, labels: tuple[str, ...] = (), bounds: tuple[float, ...] | None = None
    ) -> Cells:
        """Add a family that somebody else counts, on the same thread."""
        cells = Cells(name, words, labels, bounds)
        self._more.append(cells)
        return cells

    def watch(self, name: str, words: str, read: Callable[[], float]) -> None:
        """Show a number that is read when somebody looks; one that only grows has a name that ends in `_total`."""
        self.watch_each(name, words, (), lambda: {(): read()})

    def watch_each(
        self, name: str, words: str, labels: tuple[str, ...], read: Callable[[], Mapping[tuple[str, ...], float]]
    ) -> None:
        """Show a number for each set of label values, read when somebody looks."""
        self._watched[name] = (words, labels, read)

    def snapshot(self) -> list[Family]:
        """Everything, as numbers."""
        counted = (
            *(self._requests, self._seconds, self._estimates, self._arm_seconds, self._features_seconds),
            *(self._model_seconds, self._turned_away, self._refused, *self._more),
        )
        return [cells.family() for cells in counted] + [
            Family(
                name,
                words,
                "counter" if name.endswith("_total") else "gauge",
                labels,
                (),
                [Series(of, [float(value)]) for of, value in read().items()],
            )
            for name, (words, labels, read) in list(self._watched.items())
        ]

    def encoded(self) -> bytes:
        """Give the snapshot in JSON, for the replica that is asked for all."""
        return msgspec.json.encode(self.snapshot())

    def exposition(self) -> tuple[bytes, bytes]:
        """The text of this replica alone, and its content type."""
        return render(self.snapshot()), CONTENT_TYPE
