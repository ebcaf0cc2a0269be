"""How well experiments measure dispatch, where the truth is known: switchbacks and splits by rider, simulated."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t
from tqdm import tqdm

from adapters.wheel import fetch_wheel
from contracts.errors import InvalidInput
from contracts.schema import Floats
from contracts.zones import Positions
from model_registry.stats import clustered_se
from pipelines.data import PYHAILING
from pipelines.simulate import BASE, policy
from simulation.city import City
from simulation.day import simulate_day
from simulation.outcomes import with_interval
from simulation.switchback import Switchback, bands, user_split
from simulation.world import Scenario, World

TREATMENT: Final = "batch_distance"
SCENARIO: Final = Scenario(scale=0.03, hours=(8.0, 20.0), lead_h=1.0, supply=1.0)
# Seeds of the truth and of the experiments share nothing.
_TRUTH_SEED: Final = 500_000


@dataclass(frozen=True)
class Estimate:
    """A difference treatment - control with its 95 % interval."""

    effect: float
    low: float
    high: float


def switchback(
    home: Path,
    *,
    experiments: int = 100,
    truths: int = 40,
    scenario: Scenario = SCENARIO,
    period_s: float = 3600.0,
    burn_in_s: float = 1200.0,
    regions: int = 2,
    progress: bool = False,
) -> dict[str, Any]:
    """Estimate the effect of batches against greedy on seconds waited, to the pickup or to giving up.

    Args:
        home: TANDEM_HOME; the city's wheel is kept in `cache` below it.
        experiments: simulated days with an experiment of either kind, 2 or more.
        truths: simulated days that run whole under either policy; their mean difference is the truth, 2 or more.
        scenario: the days.
        period_s: how long a region keeps an arm.
        burn_in_s: the part of a period that does not count.
        regions: bands of the city from south to north.
        progress: whether to draw a progress bar on stderr.

    Returns:
        The truth with its interval; for switchback and split by rider the mean estimate, its bias in per cent of the
        truth, and in how many experiments the interval held the truth.

    Raises:
        InvalidInput: fewer than two days, or a burn-in as long as the period.
        Unavailable: the wheel with the city can't be fetched.

    """
    if min(experiments, truths) < 2:  # noqa: PLR2004 - a spread needs two
        raise InvalidInput("experiments" if experiments < truths else "truths", "expected at least 2 days")
    if not 0 <= burn_in_s < period_s:
        raise InvalidInput("burn_in_s", f"{burn_in_s:g} s, expected from 0 to below the period of {period_s:g} s")
    city = City.from_wheel(fetch_wheel(*PYHAILING, cache=home / "cache"))
    plan = Switchback(period_s=period_s, burn_in_s=burn_in_s, start_s=scenario.hours[0] * 3600)
    found: dict[str, list[Estimate]] = {"switchback": [], "split_by_rider": []}
    effects = []
    with tqdm(total=experiments + truths, desc="days", disable=not progress, file=sys.stderr) as bar:
        for seed in range(truths):
            effects.append(_true_effect(World.draw(city, scenario, _TRUTH_SEED + seed)))
            bar.update()
        for seed in range(experiments):
            world = World.draw(city, scenario, seed)
            found["switchback"].append(_switchback(world, plan, regions, seed))
            found["split_by_rider"].append(_split(world, seed))
            bar.update()
    truth, low, high = with_interval(effects)
    return {
        "effect_of": f"{TREATMENT} instead of {BASE}, seconds waited; simulated",
        "truth_s": {"mean": truth, "low": low, "high": high, "days": truths},
        "estimates": {name: _judge(estimates, truth) for name, estimates in found.items()},
    }


def difference(values: Floats, arm: Positions, cluster: Positions) -> Estimate:
    """Mean of arm 1 less mean of arm 0, values [n] of one cluster going together; an arm needs two clusters."""
    groups = [(values[arm == i], cluster[arm == i]) for i in (0, 1)]
    effect = float(groups[1][0].mean() - groups[0][0].mean())
    se = math.hypot(*(clustered_se(*group) for group in groups))
    reach = se * float(student_t.ppf(0.975, len(np.unique(cluster)) - 2))
    return Estimate(effect, effect - reach, effect + reach)


def _true_effect(world: World) -> float:
    n = len(world.requests)
    control, treated = (_waits(world, np.full(n, arm)) for arm in (0, 1))
    return float((treated - control)[world.counted].mean())


def _switchback(world: World, plan: Switchback, regions: int, seed: int) -> Estimate:
    units = plan.units(world.requests.at_s, bands(world.requests.pickup.lat, regions))
    arm = plan.arms(units, np.random.default_rng([seed, 1]))
    counted: NDArray[np.bool_] = world.counted & plan.counted(world.requests.at_s)
    return difference(_waits(world, arm)[counted], arm[counted], units[counted])


def _split(world: World, seed: int) -> Estimate:
    n = len(world.requests)
    arm = user_split(n, np.random.default_rng([seed, 2]))
    return difference(_waits(world, arm)[world.counted], arm[world.counted], np.arange(n)[world.counted])


def _waits(world: World, arm: Positions) -> Floats:
    policies = [policy(name, world, {}) for name in (BASE, TREATMENT)]
    log = simulate_day(world.requests, world.crew, world.travel, policies, arm, midnight=world.scenario.midnight)
    waits: Floats = np.where(np.isnan(log.picked_up_s), log.cancelled_s, log.picked_up_s) - world.requests.at_s
    return waits


def _judge(estimates: Sequence[Estimate], truth: float) -> dict[str, float]:
    mean = float(np.mean([e.effect for e in estimates]))
    return {
        "mean_s": mean,
        "bias_percent": 100 * (mean - truth) / truth,
        "held_the_truth": sum(e.low <= truth <= e.high for e in estimates),
        "of": len(estimates),
        "interval_width_s": float(np.mean([e.high - e.low for e in estimates])),
    }
