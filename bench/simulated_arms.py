"""Two arms that never ran: evidence about them, drawn minute by minute, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special

from model_registry.evidence import Arm, Cell, Evidence, Moments
from model_registry.histogram import FIRST, GROWTH, Histogram
from model_registry.policy import Shadow
from model_registry.rollout import Rollout

CELL_S = 60.0
_BUCKETS = 900
_SHARED = 0.4  # how much of a unit's error its history knows: a correlation of 0.55


@dataclass(frozen=True)
class Truth:
    """How an arm behaves: shares, milliseconds (log-normal with the p99 given), seconds."""

    error: float = 0.001
    fallback: float = 0.004
    p99_ms: float = 90.0
    model_p99_ms: float = 25.0
    mae_s: float = 180.0


@dataclass
class Arms:
    """An EvidenceSource. `rate` is requests per second; `faulty` replaces the candidate's truth from `fault_at` on."""

    seed: int
    rate: float
    champion: Truth = Truth()
    candidate: Truth = Truth()
    label_delay_s: float = 1200.0
    faulty: Truth | None = None
    fault_at: float = 0.0
    faulty_champion: Truth | None = None
    fault_until: float = np.inf
    _cells: list[Cell] = field(default_factory=list)
    _ab: list[np.ndarray] = field(default_factory=list)
    _of: tuple[int, float] = (-2, 0.0)

    def evidence(self, rollout: Rollout, now: float) -> Evidence:
        """All whole minutes since the step was entered."""
        if self._of != (rollout.step, rollout.entered_at):
            self._of, self._cells = (rollout.step, rollout.entered_at), []
            self._ab = [np.zeros(6), np.zeros(6)]
            self._totals = np.zeros(2, dtype=np.int64)
        while rollout.entered_at + (len(self._cells) + 1) * CELL_S <= now:
            self._cells.append(self._cell(rollout, rollout.entered_at + len(self._cells) * CELL_S))
        champion, candidate = (Moments(int(m[0]), *map(float, m[1:])) for m in self._ab)
        units = (int(self._totals[0]), int(self._totals[1]))
        # Windows reach back for `for` or for enough labels; 600 cells hold both at the rates simulated here.
        return Evidence(tuple(self._cells[-600:]), units[1], units, (champion, candidate))

    def _cell(self, rollout: Rollout, at: float) -> Cell:
        rng = np.random.default_rng([self.seed, rollout.step, round(at)])
        truths = self._truths(at)
        arrivals = int(rng.poisson(self.rate * CELL_S))
        if isinstance(rollout.present, Shadow):
            counts = (arrivals, int(rng.binomial(arrivals, rollout.present.percent / 100)))
        else:
            candidate = int(rng.binomial(arrivals, rollout.percent / 100))
            counts = (arrivals - candidate, candidate)
        self._totals += counts
        matured = at - rollout.entered_at >= self.label_delay_s
        arms = [self._arm(rng, n, truths[i], i, matured=matured) for i, n in enumerate(counts)]
        return Cell(at, *arms)

    def _truths(self, at: float) -> tuple[Truth, Truth]:
        if self.fault_at <= at < self.fault_until:
            return self.faulty_champion or self.champion, self.faulty or self.candidate
        return self.champion, self.candidate

    def _arm(self, rng: np.random.Generator, n: int, truth: Truth, index: int, *, matured: bool) -> Arm:
        errors = np.empty(0)
        if matured and n:
            history = rng.exponential(1.0, n)
            errors = truth.mae_s * (_SHARED * history + (1 - _SHARED) * rng.exponential(1.0, n))
            sums = (n, errors.sum(), errors @ errors, history.sum(), history @ history, errors @ history)
            self._ab[index] += np.array(sums)
        return Arm(
            requests=n,
            errors=int(rng.binomial(n, truth.error)),
            fallbacks=int(rng.binomial(n, truth.fallback)),
            latency=_times(rng, n, truth.p99_ms),
            model=_times(rng, n, truth.model_p99_ms),
            labels=errors.size,
            abs_error_sum=float(errors.sum()),
            abs_error_sumsq=float(errors @ errors),
        )


def shifted(truth: Truth, **changes: float) -> Truth:
    """The truth with some of it changed."""
    return replace(truth, **changes)


_SHARES: dict[float, tuple[int, np.ndarray]] = {}  # p99 -> first bucket, the shares of those that hold anything


def _times(rng: np.random.Generator, n: int, p99_ms: float, sigma: float = 0.5) -> Histogram:
    if p99_ms not in _SHARES:
        edges = np.log(FIRST * GROWTH ** np.arange(_BUCKETS))
        below = special.ndtr((edges - np.log(p99_ms)) / sigma + special.ndtri(0.99))
        shares = np.append(np.diff(below, prepend=0.0), 1 - below[-1])
        (held,) = np.nonzero(shares > 1e-9)
        kept = shares[held[0] : held[-1] + 1]
        _SHARES[p99_ms] = int(held[0]), kept / kept.sum()
    first, kept = _SHARES[p99_ms]
    drawn = rng.multinomial(n, kept)
    (held,) = np.nonzero(drawn)
    return Histogram(dict(zip((held + first).tolist(), drawn[held].tolist(), strict=True)))
