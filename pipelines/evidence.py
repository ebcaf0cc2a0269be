"""What a rollout's arms did, out of the prediction log and the outcomes: the controller's EvidenceSource.

All guardrails are fed from one source, a record an answer, and not from the replicas' counters: a record has arm, unit,
times, the version's own failure and the answer together; a replica that dies takes half a second of it with it, and
resets nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from adapters.state import State
from contracts.clock import Clock, SystemClock
from contracts.errors import Unavailable
from model_registry.evidence import Evidence
from model_registry.rollout import Rollout
from pipelines.arm_records import ArmRecords
from pipelines.evidence_file import load, save
from pipelines.matured import Matured
from pipelines.step_evidence import StepEvidence, StepKey, begin
from serving.settings import Settings

BUDGET_S: Final = 5.0  # of a look: the controller's lease must not run out meanwhile
SAVE_S: Final = 300.0


class LogEvidence:
    """Follows the present step of one rollout; another step, or another rollout, is read from its beginning.

    With a `file`, a controller that starts again goes on from what it had gathered `save_s` ago or less.
    """

    def __init__(
        self,
        folder: Path,
        state: State,
        *,
        cut_s: float,
        clock: Clock | None = None,
        budget_s: float = BUDGET_S,
        file: Path | None = None,
        save_s: float = SAVE_S,
    ) -> None:
        self._folder, self._state, self._cut_s = folder, state, cut_s
        self._clock, self._budget_s = clock or SystemClock(), budget_s
        self._file, self._save_s = file, save_s
        self._saved_at = self._clock.monotonic()
        self._step: StepEvidence | None = None

    def evidence(self, rollout: Rollout, now: float) -> Evidence:
        """What both arms did since the present step began. Raises Unavailable, also while there is more to read."""
        ends = self._clock.monotonic() + self._budget_s
        step = self._follow(rollout)

        def time_left() -> bool:
            return self._clock.monotonic() < ends

        # Labels come in the order of time: a part of them is the step's beginning, which says nothing of its end.
        whole = step.read(time_left) and step.mature(now, time_left)
        self._save(step)
        if not whole:
            raise Unavailable("evidence", "catching_up", f"{step.samples} requests of {rollout.id} read so far")
        return step.evidence(rollout.policy, now)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many outcomes of the present step were joined, late, unknown."""
        return dict(self._step.state.outcomes) if self._step else {}

    def close(self) -> None:
        """Let the database go."""
        self._state.close()

    def _follow(self, rollout: Rollout) -> StepEvidence:
        key = StepKey.of(rollout, self._cut_s)
        if self._step is None or self._step.state.key != key:
            kept = load(self._file, key) if self._file else None
            matured = Matured(self._folder, self._state, self._cut_s)
            state = kept or begin(rollout, self._cut_s)
            self._step = StepEvidence(rollout, ArmRecords(rollout, self._state), matured, state)
        return self._step

    def _save(self, step: StepEvidence) -> None:
        now = self._clock.monotonic()
        if self._file and now - self._saved_at >= self._save_s:
            save(self._file, step.state)
            self._saved_at = now


def open_evidence(settings: Settings) -> LogEvidence:
    """The evidence of this home's stack."""
    file = settings.home / "evidence.msgpack"
    return LogEvidence(settings.predictions, State(settings.state), cut_s=settings.label_cut_s, file=file)
