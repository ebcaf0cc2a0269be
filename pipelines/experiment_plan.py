"""`tandem experiment plan`: how many units, and how long, an A/B test needs here, from what units did by themselves."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from adapters.state import State
from contracts.errors import DataRefused, InvalidInput
from contracts.local_time import DAY_S
from contracts.predictions import ETA
from model_registry.evidence import Moments
from model_registry.experiment import plan
from model_registry.maturity import Join, measured
from model_registry.policy import AB_METRICS
from model_registry.unit_means import UnitMeans
from pipelines.home_settings import settings_with_state
from pipelines.matured import Matured
from serving.traffic import CHAMPION

_SLICE_S: Final = 3600.0
_FEWEST: Final = 30  # units: below, a standard deviation is a guess


def plan_test(
    home: Path,
    *,
    metric: str,
    change: float,
    split: float = 50.0,
    power: float = 0.8,
    days: float = 7.0,
    now: float | None = None,
) -> dict[str, Any]:
    """Size a test that finds a change of so many per cent of the metric.

    Args:
        home: TANDEM_HOME.
        metric: one of the A/B step's.
        change: per cent of the champion's value, not 0.
        split: per cent of the units that the candidate gets.
        power: the chance to find the change, should it be there.
        days: of the champion's past to learn from; as many before them are the units' history.
        now: epoch seconds, the clock's where None.

    Raises:
        InvalidInput: an argument is out of its range.
        NotFound: the home has not served.
        DataRefused: too few units.
        Unavailable: log or database can't be read.

    """
    _check(metric, change, split, power, days)
    settings = settings_with_state(home)
    state = State(settings.state)
    try:
        matured = Matured(settings.predictions, state, settings.label_cut_s)
        end = matured.until(time.time() if now is None else now)
        middle = end - days * DAY_S
        during = _means(matured, metric, middle, end)
        before = _means(matured, metric, middle - days * DAY_S, middle)
    finally:
        state.close()
    found = during.moments(before)
    if found.n < _FEWEST:
        raise DataRefused("prediction log", f"has {found.n} units with {metric} in {days:g} days, needs {_FEWEST}")
    sigma, correlation = _spread(found)
    baseline = found.y / found.n
    if not baseline or not sigma:
        raise DataRefused("prediction log", f"{metric} is {baseline:g} for all: there is nothing to compare")
    sized = plan(
        baseline=baseline,
        relative=change / 100,
        sigma=sigma,
        units_per_day=found.n / days,
        correlation=correlation,
        split=split / 100,
        power=power,
    )
    return {
        "metric": metric,
        "baseline": baseline,
        "change_percent": change,
        "difference": sized.delta,
        "sigma": sigma,
        "correlation_with_history": correlation,
        "units_per_day": found.n / days,
        "per_arm": sized.per_arm,
        "per_arm_with_history": sized.per_arm_cuped,
        "days": sized.days,
        "weeks": sized.weeks,
        "from": str(np.datetime64(round(middle), "s")) + "Z",
        "to": str(np.datetime64(round(end), "s")) + "Z",
    }


def _check(metric: str, change: float, split: float, power: float, days: float) -> None:
    if metric not in AB_METRICS:
        raise InvalidInput("metric", f"is {metric!r}, must be one of {', '.join(AB_METRICS)}")
    if not 0 < abs(change) <= 100:  # noqa: PLR2004 - per cent
        raise InvalidInput("change", f"is {change:g} %, must be within -100 and 100 and not 0")
    if not 0 < split < 100:  # noqa: PLR2004 - per cent
        raise InvalidInput("split", f"is {split:g} %, must be above 0 and below 100")
    if not 0 < power < 1:
        raise InvalidInput("power", f"is {power:g}, must be above 0 and below 1")
    if not 0 < days <= 366:  # noqa: PLR2004 - a year
        raise InvalidInput("days", f"is {days:g}, must be above 0 and at most 366")


def _means(matured: Matured, metric: str, start: float, end: float) -> UnitMeans:
    """The champion's values by unit, which nobody tried anything on."""
    means, join, at = UnitMeans(), Join(matured.cut_s), start
    while at < end:
        until = min(at + _SLICE_S, end)
        for batch in matured.between(at, until, join):
            for one, fates in batch:
                if one.kind == ETA and one.arm == CHAMPION and one.unit:
                    means.add(one.unit_key, measured(metric, one, fates))
        at = until
    return means


def _spread(found: Moments) -> tuple[float, float]:
    """A unit's standard deviation, and the correlation of its value with its history."""
    n = found.n
    yy, xx, xy = found.yy - found.y**2 / n, found.xx - found.x**2 / n, found.xy - found.x * found.y / n
    sigma = math.sqrt(max(yy, 0.0) / (n - 1))
    return sigma, xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else 0.0
