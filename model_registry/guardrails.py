"""One guardrail, one verdict: Pass, Fail, Inconclusive or NoData, with its reason in words.

A Fail is a breach that is proven: the one-sided bound, and not the estimate, lies beyond the limit. A Pass is an
estimate within the limit from enough samples. Between the two the verdict is Inconclusive, and without samples NoData.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from msgspec import Struct

from model_registry import histogram
from model_registry.bounds import exact_lower
from model_registry.evidence import Arm, Cell, Evidence, window
from model_registry.policy import PROPORTIONS, QUANTILES, Guardrail
from model_registry.stats import normal_quantile, sequential_srm_p_value

ALPHA: Final = 0.001  # a look at a candidate that stands exactly on the limit
HARD_ALPHA: Final = 1e-4  # acts without a second look
# At low traffic a window reaches back until it holds this many times the samples without which there is no verdict:
# what proves a breach of 2 % against a limit of 0.5 % is some 400 requests, not 100.
REACH: Final = 10
_QUANTILE: Final = 0.99
_COUNTS: Final[dict[str, Callable[[Arm], int]]] = {
    "error_rate": attrgetter("errors"),
    "fallback_rate": attrgetter("fallbacks"),
}
_TIMES: Final[dict[str, Callable[[Arm], histogram.Histogram]]] = {
    "latency_p99_ms": attrgetter("latency"),
    "model_p99_ms": attrgetter("model"),
}


class Outcome(enum.StrEnum):
    """What a guardrail says."""

    PASS = "Pass"  # noqa: S105 - no password
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"
    NO_DATA = "NoData"


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """An outcome, of which guardrail, and why; `at_once` marks a broken hard bound."""

    guardrail: str
    outcome: Outcome
    reason: str
    at_once: bool = False


class _Measured(NamedTuple):
    """A metric over some cells: how many samples, the estimate, and what the truth is surely not below."""

    n: int
    estimate: float
    lower: float


def judge(guardrail: Guardrail, evidence: Evidence, percent: float, now: float) -> Verdict:
    """Judge the candidate, which gets `percent` of the units, on the newest `for` seconds (longer at low traffic)."""
    if guardrail.metric in PROPORTIONS or guardrail.metric in QUANTILES:
        return _against_constant(guardrail, evidence.cells, now)
    if guardrail.metric == "mae_ratio":
        return _against_champion(guardrail, evidence.cells, now)
    return _sample_ratio(guardrail, evidence.units, percent)


def reach(guardrail: Guardrail, cells: Sequence[Cell], now: float) -> int:
    """How many of the newest cells a guardrail may look at, now or later: counts only grow, so older ones may go."""
    if guardrail.metric == "srm_p_value":  # looks at units, since the step began
        return 0
    parts = [_longest(guardrail, cells, now)]
    if guardrail.hard:
        parts.append(_hardest(guardrail, cells, now))
    return max(len(part) for part, _ in parts)


def _longest(guardrail: Guardrail, cells: Sequence[Cell], now: float) -> tuple[Sequence[Cell], int]:
    """The cells of the guardrail's window, and how many samples of the candidate they hold."""
    count, needed = _requests(guardrail.metric), guardrail.min_samples
    if guardrail.metric == "mae_ratio":
        count, needed = attrgetter("labels"), guardrail.min_labels
    return window(cells, since=now - guardrail.for_s, needed=REACH * needed, count=count)


def _hardest(guardrail: Guardrail, cells: Sequence[Cell], now: float) -> tuple[Sequence[Cell], int]:
    """The newest cells that hold enough for the hard bound, and how many samples they hold."""
    needed = guardrail.hard.min_samples if guardrail.hard else 0
    return window(cells, since=now, needed=needed, count=_requests(guardrail.metric))


def _against_constant(guardrail: Guardrail, cells: Sequence[Cell], now: float) -> Verdict:
    metric, limit, hard = guardrail.metric, guardrail.max or 0.0, guardrail.hard
    if hard:
        newest, n = _hardest(guardrail, cells, now)
        found = _measure(metric, [cell.candidate for cell in newest], HARD_ALPHA)
        if n >= hard.min_samples and found.lower > hard.max:
            return _breached(metric, hard.max, found, newest, HARD_ALPHA)
    part, n = _longest(guardrail, cells, now)
    if n < guardrail.min_samples:
        return Verdict(metric, Outcome.NO_DATA, f"{metric}: {n} samples of the {guardrail.min_samples} needed")
    found = _measure(metric, [cell.candidate for cell in part], ALPHA)
    if found.lower > limit:
        return _breached(metric, limit, found, part, ALPHA)
    return _within(metric, f"{metric} {found.estimate:.4g}", found.estimate <= limit, limit, n)


def _breached(metric: str, limit: float, found: _Measured, cells: Sequence[Cell], alpha: float) -> Verdict:
    """A Fail, unless the champion breaches the same limit over the same minutes."""
    words = f"{metric} {found.estimate:.4g}, surely above {found.lower:.4g}, limit {limit:g}, {found.n} samples"
    if _measure(metric, [cell.champion for cell in cells], alpha).lower > limit:
        return Verdict(metric, Outcome.INCONCLUSIVE, f"{words}; the champion breaches it too: the platform is sick")
    return Verdict(metric, Outcome.FAIL, words, at_once=alpha == HARD_ALPHA)


def _requests(metric: str) -> Callable[[Arm], int]:
    if metric not in QUANTILES:
        return attrgetter("requests")
    times = _TIMES[metric]
    return lambda arm: times(arm).n


def _measure(metric: str, arms: Sequence[Arm], alpha: float) -> _Measured:
    if metric in PROPORTIONS:
        count, n = sum(map(_COUNTS[metric], arms)), sum(arm.requests for arm in arms)
        return _Measured(n, count / n if n else math.nan, exact_lower(count, n, alpha))
    merged = histogram.merge(map(_TIMES[metric], arms))
    return _Measured(merged.n, merged.quantile(_QUANTILE), merged.lower(_QUANTILE, alpha))


def _against_champion(guardrail: Guardrail, cells: Sequence[Cell], now: float) -> Verdict:
    metric, limit, needed = guardrail.metric, guardrail.max or 0.0, guardrail.min_labels
    part, n = _longest(guardrail, cells, now)
    fewest = min(n, sum(cell.champion.labels for cell in part))
    if fewest < needed:
        return Verdict(metric, Outcome.NO_DATA, f"{metric}: {fewest} mature labels of the {needed} needed in each arm")
    mean, var = _mean([cell.candidate for cell in part])
    base, base_var = _mean([cell.champion for cell in part])
    # The same as a bound on the ratio, without dividing by a mean that is itself uncertain (Fieller).
    excess = mean - limit * base
    ratio = mean / base if base else math.inf
    words = f"{metric} {ratio:.4f} ({mean:.1f} s to the champion's {base:.1f} s)"
    if excess - normal_quantile(1 - ALPHA) * math.sqrt(var + limit**2 * base_var) > 0:
        return Verdict(metric, Outcome.FAIL, f"{words}, surely above the limit {limit:g}, {n} labels")
    return _within(metric, words, excess <= 0, limit, n)


def _mean(arms: Sequence[Arm]) -> tuple[float, float]:
    """The mean absolute error and that mean's variance."""
    n = sum(arm.labels for arm in arms)
    mean = sum(arm.abs_error_sum for arm in arms) / n
    spread = sum(arm.abs_error_sumsq for arm in arms) / n - mean**2
    return mean, max(spread, 0.0) / max(n - 1, 1)


def _sample_ratio(guardrail: Guardrail, units: tuple[int, int], percent: float) -> Verdict:
    metric, limit = guardrail.metric, guardrail.min or 0.0
    if not 0.0 < percent < 100.0:  # noqa: PLR2004 - per cent
        return Verdict(metric, Outcome.PASS, f"{metric}: this step does not split the units")
    if not sum(units):
        return Verdict(metric, Outcome.NO_DATA, f"{metric}: no unit has been seen")
    p = sequential_srm_p_value(units, (1 - percent / 100, percent / 100))
    share = 100 * units[1] / sum(units)
    words = f"{metric} {p:.3g}: {share:.2f} % of {sum(units)} units, planned {percent:g} %, limit {limit:g}"
    return Verdict(metric, Outcome.PASS if p >= limit else Outcome.FAIL, words)


def _within(metric: str, words: str, inside: bool, limit: float, n: int) -> Verdict:  # noqa: FBT001
    if inside:
        return Verdict(metric, Outcome.PASS, f"{words}, limit {limit:g}, {n} samples")
    return Verdict(metric, Outcome.INCONCLUSIVE, f"{words} is above the limit {limit:g}, which {n} samples don't prove")
