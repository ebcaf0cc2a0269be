"""A shadow beside what callers got, in figures for people and programs. Pure."""

from __future__ import annotations

import math
from typing import Any, Final

from model_registry.evidence import Pairs
from model_registry.stats import Estimate

_Z: Final = 1.96
_MILLI: Final = 1e3


def shadow_figures(pairs: Pairs) -> dict[str, Any]:
    """Differences are the shadow's less the champion's; accuracy is of the trips whose end is known."""
    difference = _mean(pairs.trips, pairs.diff_sum, pairs.diff_sumsq)
    accuracy = _mean(pairs.labels, pairs.abs_error_diff_sum, pairs.abs_error_diff_sumsq)
    base = pairs.abs_error_sum / pairs.labels if pairs.labels else None
    return {
        "requests": pairs.requests,
        "trips": pairs.trips,
        "answers": {
            "difference_s": _number(difference.value),
            "plus_minus_s": _number(_Z * difference.se),
            "apart_p50_s": _number(pairs.abs_diff.quantile(0.5) / _MILLI),
            "apart_p99_s": _number(pairs.abs_diff.quantile(0.99) / _MILLI),
        },
        "model_time_difference_ms": pairs.model_diff_sum / pairs.timed if pairs.timed else None,
        "failed": {
            "only_champion": pairs.only_champion_failed,
            "only_shadow": pairs.only_shadow_failed,
            "both": pairs.both_failed,
        },
        "accuracy": {
            "labels": pairs.labels,
            "champion_mae_s": base,
            "difference_s": _number(accuracy.value),
            "plus_minus_s": _number(_Z * accuracy.se),
        },
    }


def _mean(n: int, total: float, squares: float) -> Estimate:
    if n < 2:  # noqa: PLR2004 - a variance needs two
        return Estimate(total / n if n else math.nan, math.nan)
    spread = max(squares - total * total / n, 0.0)
    return Estimate(total / n, math.sqrt(spread / (n - 1) / n))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
