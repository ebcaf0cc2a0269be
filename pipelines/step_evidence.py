"""Evidence of one step of a rollout, gathered as it comes: requests at once, labels when they are mature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct, field

from contracts.answered import Answered
from model_registry.evidence import Evidence, Moments
from model_registry.maturity import Fate, Join, abs_errors, measured
from model_registry.policy import AB, Policy, Shadow
from model_registry.rollout import Rollout
from model_registry.shadow_pairs import Matching, Pair, PairTally
from model_registry.tally import CANDIDATE_SIDE, CHAMPION_SIDE, Side, Tally
from model_registry.unit_means import UnitMeans
from pipelines.arm_records import ArmRecords
from pipelines.log_feed import Cursor, LogFeed
from pipelines.matured import Matured

CELL_S: Final = 60.0
PAIR_S: Final = 180.0  # an answer and its shadow are in the log within this time of each other
HISTORY_S: Final = 7 * 86_400.0  # of units before the rollout
_LABEL_SLICE_S: Final = 120.0
_HISTORY_SLICE_S: Final = 600.0
TimeLeft = Callable[[], bool]


class StepKey(Struct, frozen=True):
    """What evidence is of; of anything else it says nothing."""

    rollout: str
    step: int
    entered_at: float
    cut_s: float

    @classmethod
    def of(cls, rollout: Rollout, cut_s: float) -> StepKey:
        """The present step."""
        return cls(rollout.id, rollout.step, rollout.entered_at, cut_s)


class StepState(Struct):
    """All that was gathered, and how far log and labels were read: what goes on after a restart."""

    key: StepKey
    tally: Tally
    matured_to: float  # answers before this time have had their labels added
    history_to: float  # and units their history
    cursor: Cursor = field(default_factory=Cursor)
    left: list[Answered] = []  # read, and not yet counted
    matching: Matching = field(default_factory=Matching)
    pairs: PairTally = field(default_factory=PairTally)
    units: tuple[UnitMeans, UnitMeans] = field(default_factory=lambda: (UnitMeans(), UnitMeans()))
    history: UnitMeans = field(default_factory=UnitMeans)
    outcomes: dict[str, int] = {}  # by what became of them: joined, late, unknown


def begin(rollout: Rollout, cut_s: float) -> StepState:
    """Nothing yet."""
    ab, entered_at = rollout.present, rollout.entered_at
    past_s = HISTORY_S if isinstance(ab, AB) and ab.cuped else 0.0
    tally = Tally(entered_at, min(CELL_S, rollout.policy.interval))
    return StepState(StepKey.of(rollout, cut_s), tally, entered_at, entered_at - past_s)


class StepEvidence:
    """Adds up what log and outcomes give; the result does not depend on when, or how often, it is asked."""

    def __init__(self, rollout: Rollout, records: ArmRecords, matured: Matured, state: StepState) -> None:
        self._records, self._matured, self.state = records, matured, state
        self._feed = LogFeed(matured.folder, rollout.entered_at, state.cursor)
        self._shadow = isinstance(rollout.present, Shadow)
        self._ab = rollout.present if isinstance(rollout.present, AB) else None
        self._entered_at = rollout.entered_at

    @property
    def samples(self) -> int:
        """Requests of both arms."""
        return sum(self.state.tally.samples)

    def read(self, time_left: TimeLeft) -> bool:
        """Count what is new; False where time ran out before its end. Raises Unavailable, and then goes on there."""
        self._count()
        for batch in self._feed.batches():
            self.state.left = batch
            self._count()
            if not time_left():
                return False
        return True

    def mature(self, now: float, time_left: TimeLeft) -> bool:
        """Add labels of what is old enough, in whole cells, and the units' history; False where there was no time.

        Raises Unavailable, and then goes on there.
        """
        state, until = self.state, self._matured.until(now)
        cells = math.floor((until - self._entered_at) / state.tally.cell_s)
        whole = self._entered_at + cells * state.tally.cell_s
        while state.matured_to < whole:
            end = min(whole, state.matured_to + _LABEL_SLICE_S)
            self._label(state.matured_to, end)
            state.matured_to = end
            if end < whole and not time_left():
                return False
        while state.history_to < self._entered_at <= until:
            end = min(self._entered_at, state.history_to + _HISTORY_SLICE_S)
            self._remember(state.history_to, end)
            state.history_to = end
            if end < self._entered_at and not time_left():
                return False
        return True

    def evidence(self, policy: Policy, now: float) -> Evidence:
        """Everything so far."""
        tally = self.state.tally
        return Evidence(
            cells=tally.cells(policy, now),
            samples=tally.samples[CANDIDATE_SIDE],
            units=tally.units,
            ab=self._moments(),
            pairs=self.state.pairs.pairs() if self._shadow else None,
        )

    def _count(self) -> None:
        """Count what was read last."""
        state = self.state
        self._records.learn(state.left)
        for one in state.left:
            side = self._records.side(one)
            if side is None:
                continue
            if not self._shadow:
                self._request(side, one, one.server_ms)
                state.tally.unit(side, one.unit_key)
            elif pair := state.matching.add(one):
                state.pairs.add(pair)
                self._request(CHAMPION_SIDE, pair.champion, pair.champion.server_ms)
                self._request(CANDIDATE_SIDE, pair.shadow, pair.latency_ms)
        if self._shadow and state.left:
            state.matching.forget(max(one.at for one in state.left) - PAIR_S)
        state.left = []

    def _request(self, side: Side, one: Answered, latency_ms: float | None) -> None:
        self.state.tally.request(
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
        for word, count in join.counts.items():
            self.state.outcomes[word] = self.state.outcomes.get(word, 0) + count

    def _add_singles(self, singles: Iterable[tuple[Side, Answered, list[Fate]]]) -> None:
        for side, one, fates in singles:
            for _, error in abs_errors(one, fates):
                self.state.tally.label(side, one.at + self._matured.cut_s, error)
            if self._ab:
                self.state.units[side].add(one.unit_key, measured(self._ab.metric, one, fates))

    def _add_pairs(self, pairs: Iterable[tuple[Pair, list[Fate]]]) -> None:
        """A trip is a label of both sides or of neither: the same trips are compared."""
        for pair, fates in pairs:
            for trip in pair.trips:
                actual = fates[trip].actual_s
                if actual is not None:
                    mature_at = pair.champion.at + self._matured.cut_s
                    errors = pair.errors(trip, actual)
                    self.state.tally.label(CHAMPION_SIDE, mature_at, errors[CHAMPION_SIDE])
                    self.state.tally.label(CANDIDATE_SIDE, mature_at, errors[CANDIDATE_SIDE])
                    self.state.pairs.label(*errors)

    def _remember(self, start: float, end: float) -> None:
        assert self._ab  # noqa: S101 - nothing else has a history
        found: list[tuple[int, list[int]]] = []
        for batch in self._matured.between(start, end, Join(self._matured.cut_s)):
            self._records.learn(one for one, _ in batch)
            for one, fates in batch:
                key = one.unit_key
                if key is not None and self._records.before(one):
                    found.append((key, measured(self._ab.metric, one, fates)))
        for key, values in found:
            self.state.history.add(key, values)

    def _moments(self) -> tuple[Moments, Moments] | None:
        """Both arms' moments; None where the step has no use for them, or the history is not read yet."""
        if not self._ab or self.state.history_to < self._entered_at:
            return None
        champion, candidate = self.state.units
        return champion.moments(self.state.history), candidate.moments(self.state.history)
