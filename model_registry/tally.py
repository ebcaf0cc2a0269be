"""Counts both arms in cells of time since a step was entered. The order in which things arrive changes nothing.

Sums are of whole milliseconds, so that they are the same in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct, field

from model_registry.evidence import Arm, Cell
from model_registry.guardrails import reach
from model_registry.histogram import Histogram, bucket_of
from model_registry.policy import Policy

Side = Literal[0, 1]
CHAMPION_SIDE: Final[Side] = 0
CANDIDATE_SIDE: Final[Side] = 1
MAX_CELLS: Final = 5000  # three days and a half of minutes, should no guardrail's window ever be full
_MILLI: Final = 1000


class Counts(Struct):
    """One arm in one cell; histograms by bucket."""

    requests: int = 0
    errors: int = 0
    fallbacks: int = 0
    latency: dict[int, int] = {}
    model: dict[int, int] = {}
    labels: int = 0
    abs_error_ms: int = 0
    abs_error_sq: int = 0  # ms²

    def arm(self) -> Arm:
        """The same as evidence."""
        return Arm(
            self.requests,
            self.errors,
            self.fallbacks,
            Histogram(dict(self.latency)),
            Histogram(dict(self.model)),
            self.labels,
            self.abs_error_ms / _MILLI,
            self.abs_error_sq / _MILLI**2,
        )


class Tally(Struct):
    """Cells of `cell_s` seconds from `entered_at` on, by number; what came before the step is not counted."""

    entered_at: float
    cell_s: float
    held: dict[int, tuple[Counts, Counts]] = {}
    first: int = 0  # cells before it were let go
    alone: list[int] = field(default_factory=lambda: [0, 0])  # requests that were units of their own
    unit_keys: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))
    samples: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def units(self) -> tuple[int, int]:
        """Distinct units of the champion and of the candidate."""
        return self.alone[0] + len(self.unit_keys[0]), self.alone[1] + len(self.unit_keys[1])

    def request(
        self, side: Side, at: float, *, failed: bool, fell_back: bool, latency_ms: float | None, model_ms: float | None
    ) -> None:
        """Count a request answered at an epoch time; a time is None where there was none."""
        if at < self.entered_at:
            return
        self.samples[side] += 1
        counts = self._of(at)
        if counts is None:
            return
        mine = counts[side]
        mine.requests += 1
        mine.errors += failed
        mine.fallbacks += fell_back
        for value, histogram in ((latency_ms, mine.latency), (model_ms, mine.model)):
            if value is not None:
                bucket = bucket_of(value)
                histogram[bucket] = histogram.get(bucket, 0) + 1

    def unit(self, side: Side, key: int | None) -> None:
        """See an experiment unit; None is a request that was one of its own."""
        if key is None:
            self.alone[side] += 1
        else:
            self.unit_keys[side].add(key)

    def label(self, side: Side, mature_at: float, abs_error_s: float) -> None:
        """Count a label in the cell in which it became mature."""
        counts = self._of(mature_at)
        if counts is None:
            return
        error = round(abs_error_s * _MILLI)
        mine = counts[side]
        mine.labels += 1
        mine.abs_error_ms += error
        mine.abs_error_sq += error * error

    def cells(self, policy: Policy, now: float) -> tuple[Cell, ...]:
        """The cells that a guardrail may look at, oldest first; the others are let go."""
        numbers = sorted(self.held)
        cells = [self._cell(number) for number in numbers]
        kept = min(_needed(policy, cells, now), MAX_CELLS)
        for number in numbers[: len(numbers) - kept]:
            del self.held[number]
            self.first = number + 1
        return tuple(cells[len(cells) - kept :])

    def _cell(self, number: int) -> Cell:
        champion, candidate = self.held[number]
        return Cell(self.entered_at + number * self.cell_s, champion.arm(), candidate.arm())

    def _of(self, at: float) -> tuple[Counts, Counts] | None:
        number = int((at - self.entered_at) // self.cell_s)
        if number < self.first:
            return None
        if number not in self.held:
            self.held[number] = (Counts(), Counts())
        return self.held[number]


def _needed(policy: Policy, cells: Sequence[Cell], now: float) -> int:
    return max(reach(guardrail, cells, now) for guardrail in policy.guardrails)
