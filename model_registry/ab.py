"""The A/B step's decision: a sequential interval around the candidate's harm, which may be looked at all the time."""

from __future__ import annotations

import math
from typing import Final

from model_registry.evidence import Moments
from model_registry.guardrails import Outcome, Verdict
from model_registry.policy import AB, Decide
from model_registry.stats import Estimate, sequential_interval

ALPHA: Final = 0.05  # over the whole step, both ends
_HIGHER_IS_BETTER: Final = frozenset({"conversion"})


def decide_ab(decide: Decide, step: AB, arms: tuple[Moments, Moments] | None) -> Verdict:
    """Pass promotes, Fail rolls back, Inconclusive goes on; `arms` are the champion's and the candidate's moments."""
    champion, candidate = arms or (Moments(), Moments())
    units = champion.n + candidate.n
    if units < step.min_units or min(champion.n, candidate.n) < 2:  # noqa: PLR2004 - a variance needs two
        return Verdict(step.metric, Outcome.NO_DATA, f"{step.metric}: {units} units of the {step.min_units} needed")
    base, found = adjusted_means(champion, candidate) if step.cuped else (mean(champion), mean(candidate))
    margin = decide.margin if decide.ab == "non_inferior" else 0.0
    better = -1.0 if step.metric in _HIGHER_IS_BETTER else 1.0
    tolerated = 1 + better * margin
    harm = better * (found.value - tolerated * base.value)
    se = math.hypot(found.se, tolerated * base.se)
    low, high = sequential_interval(harm, se, units, ALPHA, tuning=step.min_units)
    change = 100 * (found.value / base.value - 1) if base.value else math.nan
    words = (
        f"{step.metric} {found.value:.4g} to the champion's {base.value:.4g} ({change:+.2f} %), {units} units; "
        f"harm beyond a margin of {100 * margin:g} %: {low:.3g} to {high:.3g}"
    )
    if high < 0:
        return Verdict(step.metric, Outcome.PASS, words)
    return Verdict(step.metric, Outcome.FAIL if low > 0 else Outcome.INCONCLUSIVE, words)


def mean(arm: Moments) -> Estimate:
    """Mean of the units' metric."""
    return Estimate(arm.y / arm.n, _se(_spread(arm.yy, arm.y, arm.y, arm.n), arm.n))


def adjusted_means(a: Moments, b: Moments) -> tuple[Estimate, Estimate]:
    """Both means with what the units' history explains taken out (CUPED); the history's overall mean is the anchor."""
    sxx = _spread(a.xx, a.x, a.x, a.n) + _spread(b.xx, b.x, b.x, b.n)
    sxy = _spread(a.xy, a.x, a.y, a.n) + _spread(b.xy, b.x, b.y, b.n)
    theta = sxy / sxx if sxx > 0 else 0.0
    anchor = (a.x + b.x) / (a.n + b.n)

    def adjust(arm: Moments) -> Estimate:
        left = (
            _spread(arm.yy, arm.y, arm.y, arm.n)
            - 2 * theta * _spread(arm.xy, arm.x, arm.y, arm.n)
            + theta**2 * _spread(arm.xx, arm.x, arm.x, arm.n)
        )
        return Estimate(arm.y / arm.n - theta * (arm.x / arm.n - anchor), _se(left, arm.n))

    return adjust(a), adjust(b)


def _spread(products: float, sum_a: float, sum_b: float, n: int) -> float:
    return products - sum_a * sum_b / n


def _se(squares: float, n: int) -> float:
    return math.sqrt(max(squares, 0.0) / (n - 1) / n)
