"""Outcomes laid on answers, at one age for all: what is known of a trip so long after its answer, and not later. Pure.

Short trips report first. Of answers that are all of the same age, and only of such, as many of the slow have reported
in the one arm as in the other; so an outcome counts if it came within the cut, whenever somebody looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from contracts.answered import Answered
from contracts.outcomes import KeptOutcome
from contracts.predictions import ETA

_MILLI: Final = 1000


class Fate(NamedTuple):
    """What became of a trip within the cut; `actual_s` is None where it was not completed by then."""

    booked: bool
    cancelled: bool
    actual_s: float | None


_NOTHING: Final = Fate(booked=False, cancelled=False, actual_s=None)


class Join:
    """Joins by request and trip id. `counts`: joined, late, and unknown: of a logged request, but of no trip in it.

    They are of answers only: a shadow has the outcomes of the answer that it stands beside.
    """

    def __init__(self, cut_s: float) -> None:
        self.cut_s = cut_s
        self.counts: Counter[str] = Counter()

    def fates(self, one: Answered, outcomes: Mapping[str, Iterable[KeptOutcome]]) -> list[Fate]:
        """The fates of a request's trips, in their order; `outcomes` are by request."""
        kept: dict[str, list[KeptOutcome]] = {}
        for outcome in outcomes.get(one.request_id, ()):
            word = self._word(one, outcome)
            self.counts[word] += one.kind == ETA
            if word == "joined":
                kept.setdefault(outcome.id, []).append(outcome)
        return [_fate(kept[name]) if name in kept else _NOTHING for name in one.ids]

    def _word(self, one: Answered, outcome: KeptOutcome) -> str:
        if outcome.id not in one.ids:
            return "unknown"
        return "joined" if outcome.received_at <= one.at + self.cut_s else "late"


def _fate(outcomes: list[KeptOutcome]) -> Fate:
    events = {outcome.event for outcome in outcomes}
    actual = next((o.actual_s for o in outcomes if o.event == "completed" and o.actual_s is not None), None)
    # A trip that was completed or cancelled had been booked, whether or not that was told.
    return Fate(bool(events), "cancelled" in events, actual)


def abs_errors(one: Answered, fates: Iterable[Fate]) -> Iterable[tuple[int, float]]:
    """Trips, by position, and how far off their answer was in seconds.

    What callers got counts, also where the version failed and the heuristic answered in its place: to leave that out
    would free an arm of the trips it fails on. What the heuristic answered for want of features says nothing of an arm.
    """
    for trip, fate in enumerate(fates):
        if fate.actual_s is not None and (one.failed or not one.fallback[trip]):
            yield trip, abs(one.eta_s[trip] - fate.actual_s)


def measured(metric: str, one: Answered, fates: list[Fate]) -> list[int]:
    """A metric's values in a request, in thousandths: of `abs_error_s`, `latency_ms`, `conversion`, `cancellation`."""
    match metric:
        case "abs_error_s":
            return [round(error * _MILLI) for _, error in abs_errors(one, fates)]
        case "latency_ms":
            return [round(one.server_ms * _MILLI)]
        case "conversion":
            return [_MILLI * fate.booked for fate in fates]
        case "cancellation":
            return [_MILLI * fate.cancelled for fate in fates if fate.booked]
    raise ValueError(f"{metric!r} is no metric of an A/B test")
