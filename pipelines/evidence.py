"""What a rollout's arms did, out of the prediction log and the outcomes: the controller's EvidenceSource.

All guardrails are fed from one source, a record an answer, and not from the replicas' counters: a record has arm, unit,
times, the version's own failure and the answer together; a replica that dies takes half a second of it with it, and
resets nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from adapters.state import State
from contracts.clock import Clock, SystemClock
from contracts.errors import Unavailable
from model_registry.evidence import Evidence
from model_registry.rollout import Rollout
from pipelines.arm_records import ArmRecords
from pipelines.log_feed import LogFeed
from pipelines.matured import Matured
from pipelines.step_evidence import StepEvidence
from serving.settings import Settings

BUDGET_S: Final = 5.0  # of a look: the controller's lease must not run out meanwhile


class LogEvidence:
    """Follows the present step of one rollout; another step, or another rollout, is read from its beginning."""

    def __init__(
        self, folder: Path, state: State, *, cut_s: float, clock: Clock | None = None, budget_s: float = BUDGET_S
    ) -> None:
        self._folder, self._state, self._cut_s = folder, state, cut_s
        self._clock, self._budget_s = clock or SystemClock(), budget_s
        self._of: tuple[str, int, float] = ("", -1, 0.0)
        self._step: StepEvidence | None = None

    def evidence(self, rollout: Rollout, now: float) -> Evidence:
        """What both arms did since the present step began. Raises Unavailable, also while there is more to read."""
        ends = self._clock.monotonic() + self._budget_s
        step = self._follow(rollout)
        if not step.read(lambda: self._clock.monotonic() < ends):
            raise Unavailable("evidence", "catching_up", f"{step.samples} requests of {rollout.id} read so far")
        step.mature(now, lambda: self._clock.monotonic() < ends)
        return step.evidence(rollout.policy, now)

    @property
    def counts(self) -> Counter[str]:
        """What became of the outcomes of the present step: joined, late, unknown."""
        return self._step.counts if self._step else Counter()

    def _follow(self, rollout: Rollout) -> StepEvidence:
        of = rollout.id, rollout.step, rollout.entered_at
        if self._step is None or self._of != of:
            records = ArmRecords(rollout, self._state)
            matured = Matured(self._folder, self._state, self._cut_s)
            self._of, self._step = (
                of,
                StepEvidence(rollout, records, LogFeed(self._folder, rollout.entered_at), matured),
            )
        return self._step


def open_evidence(settings: Settings) -> LogEvidence:
    """The evidence of this home's stack."""
    return LogEvidence(settings.predictions, State(settings.state), cut_s=settings.label_cut_s)
