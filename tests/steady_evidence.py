"""Evidence of two arms that never ran, a cell a second: what a controller needs that is tried in real time."""

from __future__ import annotations

from model_registry.evidence import Arm, Cell, Evidence
from model_registry.rollout import Rollout

_REQUESTS = 50  # a second and arm


class Steady:
    """An EvidenceSource without a single error."""

    def evidence(self, rollout: Rollout, now: float) -> Evidence:
        """Every whole second since the step was entered."""
        seconds = max(int(now - rollout.entered_at), 0)
        arm = Arm(requests=_REQUESTS)
        cells = tuple(Cell(rollout.entered_at + second, arm, arm) for second in range(seconds))
        units = _REQUESTS * seconds
        return Evidence(cells, units, (units, units))
