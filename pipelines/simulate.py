"""Dispatch policies side by side on simulated days of Manhattan; docs/dispatch.md has the plan and the figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from adapters.wheel import fetch_wheel
from contracts.dispatch import EtaSource
from contracts.errors import InvalidInput
from contracts.schema import Floats
from pipelines.data import PYHAILING
from pipelines.pickup_etas import fit_fallback
from pipelines.version_etas import version_etas
from serving.dispatch import Batch, Greedy, Straight
from serving.windows import AdaptiveWindow, FixedWindow
from simulation.city import City
from simulation.day import Log, Policy, simulate_day
from simulation.maps import draw_waits
from simulation.outcomes import change, compute, outcomes, wait_by_zone
from simulation.travel import Oracle
from simulation.world import Scenario, World

HORIZON_S: Final = 90.0
BASE: Final = "greedy"
OWN: Final = (BASE, "greedy_pair", "batch_free", "batch_distance", "batch_fallback", "batch_oracle")
STUDENT, TEACHER = "batch_student", "batch_teacher"  # these need a published version
COMPARED: Final = (
    "to_assignment_mean_s",
    "pickup_mean_s",
    "pickup_p90_s",
    "wait_mean_s",
    "cancelled_rate",
    "idle_gini",
)
# Asked for at a supply of 1: change against greedy in per cent.
ASKED: Final = {"to_assignment_mean_s": -12.0, "pickup_mean_s": -12.0, "cancelled_rate": -8.4}

Sources = Mapping[str, EtaSource]


def simulate(
    home: Path,
    *,
    policies: Sequence[str] = OWN,
    supplies: Sequence[float] = (0.8, 1.0, 1.5, 3.0),
    seeds: Sequence[int] = tuple(range(1, 11)),
    scenario: Scenario | None = None,
    version: int | None = None,
    etas: Sources | None = None,
    pictures: Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Run every policy on every supply and seed.

    Args:
        home: TANDEM_HOME; the city's wheel is kept in `cache` below it.
        policies: of `OWN`, the student's and the teacher's, and `batch_NAME` for each of `etas`; greedy always runs.
        supplies: the supply ratios; what `scenario.seats` fixes needs only one.
        seeds: two or more give intervals.
        scenario: hours, scale and the like; the plan's where None.
        version: a published version, whose times the student's policy takes.
        etas: further sources of pickup times by name.
        pictures: a folder for maps of each policy's waits at each supply, on the first seed.
        progress: whether to draw a progress bar on stderr.

    Returns:
        For each supply the mean metrics of each policy, the changes against greedy with 95 % intervals, what
        matching took on this machine, and at a supply of 1 whether what was asked for is met.

    Raises:
        InvalidInput: no seed, a policy that is not known, or one that needs a version where none is named.
        NotFound: no such version, or no feature tables for it.
        Unavailable: the wheel with the city can't be fetched.

    """
    scenario, etas = scenario or Scenario(), etas or {}
    _check(policies, supplies, seeds, version, etas)
    names = [BASE, *(name for name in dict.fromkeys(policies) if name != BASE)]
    city = City.from_wheel(fetch_wheel(*PYHAILING, cache=home / "cache"))
    if "batch_fallback" in names:
        etas = {**etas, "fallback": fit_fallback(city)}
    of_day: Callable[[World], Sources] = _nothing_more
    if version is not None and {STUDENT, TEACHER} & set(names):
        of_day = version_etas(home, city, version, teacher=TEACHER in names)
    result: dict[str, Any] = {"city": _describe(scenario, seeds), "supply": {}}
    with tqdm(total=len(supplies) * len(seeds) * len(names), disable=not progress, file=sys.stderr) as bar:
        for supply in supplies:
            at_supply = replace(scenario, supply=supply)
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            waits: dict[str, Floats] = {}
            for seed in seeds:
                world = World.draw(city, at_supply, seed)
                known_then = {**etas, **of_day(world)}
                for name in names:
                    bar.set_description(f"supply {supply:g}, seed {seed}, {name}")
                    log = _run(world, policy(name, world, known_then), bar)
                    figures = outcomes(world.requests, log, world.counted)
                    runs[name].append({"drivers": float(world.seats), **figures, **compute(log)})
                    if seed == seeds[0]:
                        waits[name] = wait_by_zone(world.requests, log, len(city.zones.ids))
            result["supply"][f"{supply:g}"] = _summary(runs, supply)
            if pictures:
                pictures.mkdir(parents=True, exist_ok=True)
                draw_waits(pictures / f"waits-{supply:g}.png", city.zones, waits, f"supply {supply:g}")
    return result


def _check(
    policies: Sequence[str], supplies: Sequence[float], seeds: Sequence[int], version: int | None, etas: Sources
) -> None:
    known = [*OWN, STUDENT, TEACHER, *(f"batch_{name}" for name in etas)]
    if unknown := [name for name in policies if name not in known]:
        raise InvalidInput("policies", f"{unknown[0]!r}, expected some of {', '.join(known)}")
    if not seeds or not supplies:
        raise InvalidInput("seeds" if not seeds else "supplies", "none, expected at least one")
    lacking = [name for name in policies if name in (STUDENT, TEACHER) and name.removeprefix("batch_") not in etas]
    if version is None and lacking:
        raise InvalidInput("version", f"none, and {lacking[0]} takes the times of a published one (--version)")


def dispatch(
    home: Path,
    *,
    policies: Sequence[str] | None,
    supplies: Sequence[float],
    seeds: Sequence[int],
    scale: float,
    weekday: int,
    hours: tuple[float, float],
    drivers: int,
    version: int | None,
    pictures: Path | None,
    progress: bool,
) -> dict[str, Any]:
    """`tandem simulate dispatch`: `simulate` by the words of the command line, with the policies that it implies."""
    implied = (*OWN, *((STUDENT,) if version is not None else ()))
    return simulate(
        home,
        policies=implied if policies is None else policies,
        supplies=supplies[:1] if drivers else supplies,
        seeds=seeds,
        scenario=Scenario(scale=scale, weekday=weekday, hours=hours, seats=drivers),
        version=version,
        pictures=pictures,
        progress=progress,
    )


def policy(name: str, world: World, etas: Sources) -> Policy:
    """A policy of `OWN` or `batch_NAME` over one of `etas`, for one drawn day."""
    if name == BASE:
        return Policy(name, Greedy(), FixedWindow)
    if name == "greedy_pair":
        return Policy(name, Greedy(first="nearest"), FixedWindow)
    if name == "batch_free":
        return Policy(name, Batch(Straight()), AdaptiveWindow)
    own: dict[str, EtaSource] = {"distance": Straight(), "oracle": Oracle(world.travel, world.scenario.midnight)}
    eta = {**own, **etas}[name.removeprefix("batch_")]
    return Policy(name, Batch(eta), AdaptiveWindow, HORIZON_S)


def _nothing_more(_: World) -> Sources:
    return {}


def _run(world: World, policy: Policy, bar: Any) -> Log:
    requests = world.requests
    everyone = np.zeros(len(requests), dtype=np.intp)
    log = simulate_day(
        requests,
        world.crew,
        world.travel,
        [policy],
        everyone,
        midnight=world.scenario.midnight,
        tell=lambda come: bar.set_postfix_str(f"{come / len(requests):.0%} of its requests"),
    )
    bar.update()
    return log


def _summary(runs: Mapping[str, list[dict[str, float]]], supply: float) -> dict[str, Any]:
    metrics = runs[BASE][0].keys()
    summary: dict[str, Any] = {
        "mean": {name: {m: _mean([day[m] for day in days]) for m in metrics} for name, days in runs.items()}
    }
    if len(runs[BASE]) > 1:
        changes = {
            name: {m: change(days, runs[BASE], m) for m in COMPARED} for name, days in runs.items() if name != BASE
        }
        summary["against_greedy_percent"] = {
            name: {m: f"{c['percent']:+.1f} ({c['low']:+.1f} to {c['high']:+.1f})" for m, c in row.items()}
            for name, row in changes.items()
        }
        if supply == 1.0:
            summary["asked"] = {
                name: {m: bool(row[m]["percent"] <= bound) for m, bound in ASKED.items()}
                for name, row in changes.items()
            }
    return summary


def _mean(values: Sequence[float]) -> float | None:
    """Over the days on which there was something to measure; None where there was none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def _describe(scenario: Scenario, seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "is": "Manhattan's demand and speeds of 2018, drawn; no real fleet",
        "scale": scenario.scale,
        "hours": f"{scenario.hours[0]:g} to {scenario.hours[1]:g}",
        "patience": f"Weibull, shape {scenario.patience.shape:g}, scale {scenario.patience.scale_s:g} s",
        "seeds": list(seeds),
    }
