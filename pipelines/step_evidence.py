"""Evidence of one step of a rollout, gathered as it comes: requests at once, labels when they are mature."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final

from contracts.answered import Answered
from model_registry.evidence import Evidence, Moments
from model_registry.maturity import Fate, Join, abs_errors, measured
from model_registry.policy import AB, Policy, Shadow
from model_registry.rollout import Rollout
from model_registry.shadow_pairs import Matching, Pair, PairTally
from model_registry.tally import CANDIDATE_SIDE, CHAMPION_SIDE, Side, Tally
from model_registry.unit_means import UnitMeans
from pipelines.arm_records import ArmRecords
from pipelines.log_feed import LogFeed
from pipelines.matured import Matured

CELL_S: Final = 60.0
PAIR_S: Final = 180.0  # an answer and its shadow are in the log within this time of each other
HISTORY_S: Final = 7 * 86_400.0  # of units before the rollout
_SLICE_S: Final = 600.0
TimeLeft = Callable[[], bool]


class StepEvidence:
    """Adds up what `feed` and `matured` give; the result does not depend on when, or how often, it is asked."""

    def __init__(self, rollout: Rollout, records: ArmRecords, feed: LogFeed, matured: Matured) -> None:
        self._records, self._feed, self._matured = records, feed, matured
        self._shadow = isinstance(rollout.present, Shadow)
        self._ab = rollout.present if isinstance(rollout.present, AB) else None
        self._entered_at = rollout.entered_at
        self._cell_s = min(CELL_S, rollout.policy.interval)
        self._tally = Tally(self._entered_at, self._cell_s)
        self._matching, self._pairs = Matching(), PairTally()
        self._units = (UnitMeans(), UnitMeans())
        self._history = UnitMeans()
        self._left: list[Answered] = []  # read, and not yet counted
        self._matured_to = self._entered_at
        self._history_to = self._entered_at - (HISTORY_S if self._ab and self._ab.cuped else 0.0)
        self.counts: Counter[str] = Counter()

    @property
    def samples(self) -> int:
        """Requests of both arms."""
        return sum(self._tally.samples)

    def read(self, time_left: TimeLeft) -> bool:
        """Count what is new; False where time ran out before its end. Raises Unavailable, and then goes on there."""
        for batch in chain([self._left], self._feed.batches()):
            self._left = batch
            self._records.learn(batch)
            self._count(batch)
            self._left = []
            if not time_left():
                return False
        return True

    def mature(self, now: float, time_left: TimeLeft) -> None:
        """Add labels of what is old enough, in whole cells, and the units' history; what has no time now waits."""
        until = self._matured.until(now)
        cells = math.floor((until - self._entered_at) / self._cell_s)
        while self._matured_to < (end := self._entered_at + cells * self._cell_s) and time_left():
            end = min(end, self._matured_to + _SLICE_S)
            self._label(self._matured_to, end)
            self._matured_to = end
        while self._history_to < self._entered_at <= until and time_left():
            end = min(self._entered_at, self._history_to + _SLICE_S)
            self._remember(self._history_to, end)
            self._history_to = end

    def evidence(self, policy: Policy, now: float) -> Evidence:
        """Everything so far."""
        return Evidence(
            cells=self._tally.cells(policy, now),
            samples=self._tally.samples[CANDIDATE_SIDE],
            units=self._tally.units,
            ab=self._moments(),
            pairs=self._pairs.pairs() if self._shadow else None,
        )

    def _count(self, batch: list[Answered]) -> None:
        for one in batch:
            side = self._records.side(one)
            if side is None:
                continue
            if not self._shadow:
                self._request(side, one, one.server_ms)
                self._tally.unit(side, one.unit_key)
            elif pair := self._matching.add(one):
                self._pairs.add(pair)
                self._request(CHAMPION_SIDE, pair.champion, pair.champion.server_ms)
                self._request(CANDIDATE_SIDE, pair.shadow, pair.latency_ms)
        if self._shadow and batch:
            self._matching.forget(max(one.at for one in batch) - PAIR_S)

    def _request(self, side: Side, one: Answered, latency_ms: float | None) -> None:
        self._tally.request(
            side,
            one.at,
            failed=one.failed,
            fell_back=one.fell_back,
            latency_ms=latency_ms,
            model_ms=one.model_ms or None,
        )

    def _label(self, start: float, end: float) -> None:
        """Add a span's labels; all of them are read first, so that a failure between leaves nothing half done."""
        join, matching = Join(self._matured.cut_s), Matching()
        singles: list[tuple[Side, Answered, list[Fate]]] = []
        pairs: list[tuple[Pair, list[Fate]]] = []
        for batch in self._matured.between(start, end, join):
            self._records.learn(one for one, _ in batch)
            for one, fates in batch:
                side = self._records.side(one)
                if side is None:
                    continue
                if not self._shadow:
                    singles.append((side, one, fates))
                elif pair := matching.add(one):
                    pairs.append((pair, fates))
        self._add_singles(singles)
        self._add_pairs(pairs)
        self.counts.update(join.counts)

    def _add_singles(self, singles: Iterable[tuple[Side, Answered, list[Fate]]]) -> None:
        for side, one, fates in singles:
            for _, error in abs_errors(one, fates):
                self._tally.label(side, one.at + self._matured.cut_s, error)
            if self._ab:
                self._units[side].add(one.unit_key, measured(self._ab.metric, one, fates))

    def _add_pairs(self, pairs: Iterable[tuple[Pair, list[Fate]]]) -> None:
        """A trip is a label of both sides or of neither: the same trips are compared."""
        for pair, fates in pairs:
            for trip in pair.trips:
                actual = fates[trip].actual_s
                if actual is not None:
                    mature_at = pair.champion.at + self._matured.cut_s
                    self._tally.label(CHAMPION_SIDE, mature_at, abs(pair.champion.eta_s[trip] - actual))
                    self._tally.label(CANDIDATE_SIDE, mature_at, abs(pair.shadow.eta_s[trip] - actual))

    def _remember(self, start: float, end: float) -> None:
        assert self._ab  # noqa: S101 - nothing else has a history
        found: list[tuple[int | None, list[int]]] = []
        for batch in self._matured.between(start, end, Join(self._matured.cut_s)):
            for one, fates in batch:
                if self._records.before(one) and one.unit_key is not None:
                    found.append((one.unit_key, measured(self._ab.metric, one, fates)))
        for key, values in found:
            self._history.add(key, values)

    def _moments(self) -> tuple[Moments, Moments] | None:
        """Both arms' moments; None where the step has no use for them, or the history is not read yet."""
        if not self._ab or self._history_to < self._entered_at:
            return None
        champion, candidate = self._units
        return champion.moments(self._history), candidate.moments(self._history)
