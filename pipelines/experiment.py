"""`tandem experiment report`: what a rollout's present or last step did, from the prediction log and the outcomes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from adapters.ledger import Ledger
from adapters.state import State
from adapters.tables import read_zones
from contracts.answered import Answered, digest
from contracts.errors import DataRefused
from contracts.local_time import DAY_S, HOUR_S, hour_of_week, local_time
from contracts.trips import CITY_TZ
from model_registry.evidence import Pairs
from model_registry.experiment import Effect
from model_registry.experiment_units import Experiment, FirstSeen, Stratum
from model_registry.maturity import Fate, Join, measured
from model_registry.policy import AB, AB_METRICS, Shadow
from model_registry.read_out import ReadOut, as_html, as_text, verdict
from model_registry.records import Records
from model_registry.rollout import Rollout
from pipelines.arm_records import ArmRecords
from pipelines.evidence import LogEvidence
from pipelines.home_settings import settings_with_state
from pipelines.layout import Layout
from pipelines.matured import Matured
from pipelines.shadow_report import shadow_figures
from pipelines.step_evidence import HISTORY_S

_TUNING: Final = 5000  # units near which the interval that allows peeking is narrowest, where no policy says so
_SLICE_S: Final = 3600.0


def report(home: Path, name: str, *, html: Path | None = None, now: float | None = None) -> dict[str, Any]:
    """Read out the shadow, the canary or the A/B test that a rollout is in or ended with.

    Args:
        home: TANDEM_HOME.
        name: of the rollout, such as ``eta-3``.
        html: where to write a page with a plot, too, where the traffic was split.
        now: epoch seconds, the clock's where None.

    Raises:
        NotFound: there is no such rollout, or the home has not served.
        DataRefused: it has not begun, or nothing of it is old enough to be judged.
        Unavailable: log or database can't be read.

    """
    settings = settings_with_state(home)
    ledger, state = Ledger(settings.state), State(settings.state)
    try:
        rollout = Records(ledger).get(name)
        if rollout.present is None:
            raise DataRefused(rollout.id, f"is {rollout.phase} and has had no traffic: {rollout.reason}")
        now = time.time() if now is None else now
        if isinstance(rollout.present, Shadow):
            source = LogEvidence(settings.predictions, state, cut_s=settings.label_cut_s, budget_s=math.inf)
            return _of_shadow(rollout, source.evidence(rollout, now).pairs or Pairs())
        matured = Matured(settings.predictions, state, settings.label_cut_s)
        end = min(now if rollout.active else rollout.since, matured.until(now))
        found, counts = _gather(rollout, ArmRecords(rollout, state), matured, end)
    finally:
        ledger.close()
        state.close()
    read_out = _read_out(rollout, found, _strata(home))
    if not read_out.effects:
        limit = f"TANDEM_LABEL_CUT_S={settings.label_cut_s:g} s"
        raise DataRefused(name, f"no two units in each arm that are older than {limit}")
    if html:
        html.write_text(as_html(read_out), encoding="utf-8")
    return _result(read_out, rollout, end, counts, html)


def _of_shadow(rollout: Rollout, pairs: Pairs) -> dict[str, Any]:
    names = {"champion": f"{rollout.model}@{rollout.champion}", "shadow": f"{rollout.model}@{rollout.candidate}"}
    return {"experiment": rollout.id, **names, **shadow_figures(pairs)}


def _gather(rollout: Rollout, records: ArmRecords, matured: Matured, end: float) -> tuple[Experiment, Counter[str]]:
    found, join = Experiment(AB_METRICS), Join(matured.cut_s)
    start = rollout.entered_at
    for batch in _batches(matured, start, end, join):
        records.learn(one for one, _ in batch)
        for one, fates in batch:
            side = records.side(one)
            if side is not None:
                found.add(side, digest(one.unit), FirstSeen(one.at, one.zone), _values(one, fates))
    for batch in _batches(matured, start - HISTORY_S, start, Join(matured.cut_s)):
        for one, fates in batch:
            if records.before(one) and (key := digest(one.unit)) in found.seen:
                found.remember(key, _values(one, fates))
    return found, join.counts


def _batches(matured: Matured, start: float, end: float, join: Join) -> Iterator[list[tuple[Answered, list[Fate]]]]:
    at = start
    while at < end:
        until = min(at + _SLICE_S, end)
        yield from matured.between(at, until, join)
        at = until


def _values(one: Answered, fates: list[Fate]) -> dict[str, list[int]]:
    return {metric: measured(metric, one, fates) for metric in AB_METRICS}


def _strata(home: Path) -> dict[str, Stratum]:
    """What may confound: the hour and the weekday (local) in which a unit first asked, and the borough."""
    city = local_time(CITY_TZ)

    def hour(first: FirstSeen) -> int:
        return int(city.seconds(np.array([first.at]))[0] % DAY_S // HOUR_S)

    def weekday(first: FirstSeen) -> int:
        return int(hour_of_week(city.seconds(np.array([first.at])))[0] // 24)

    strata: dict[str, Stratum] = {"hours": hour, "weekdays": weekday}
    if Layout(home).zones.exists():
        zones = read_zones(Layout(home).zones)
        boroughs = dict(zip(zones.ids, zones.boroughs, strict=True))
        strata["boroughs"] = lambda first: boroughs.get(first.zone, "")
    return strata


def _read_out(rollout: Rollout, found: Experiment, strata: dict[str, Stratum]) -> ReadOut:
    tuning = rollout.present.min_units if isinstance(rollout.present, AB) else _TUNING
    effects = {
        metric: effect
        for metric, units in found.units.items()
        if (effect := units.effect(split=rollout.percent / 100, tuning=tuning))
    }
    adjusted = {metric: of for metric, of in found.adjusted(strata).items() if metric in effects and of}
    champion, candidate = (f"{rollout.model}@{version}" for version in (rollout.champion, rollout.candidate))
    return ReadOut(rollout.id, champion, candidate, effects, adjusted)


def _result(read_out: ReadOut, rollout: Rollout, end: float, counts: Counter[str], html: Path | None) -> dict[str, Any]:
    span = [str(np.datetime64(round(at), "s")) + "Z" for at in (rollout.entered_at, end)]
    outcomes = {word: counts[word] for word in ("joined", "late", "unknown")}
    words = ", ".join(f"{n} {word}" for word, n in outcomes.items())
    of = f"Answers from {span[0]} to {span[1]}, {rollout.percent:g} % planned; outcomes: {words}"
    return {
        "experiment": read_out.name,
        "champion": read_out.champion,
        "candidate": read_out.candidate,
        "from": span[0],
        "to": span[1],
        "percent": rollout.percent,
        "alarms": read_out.alarms,
        "metrics": {metric: _numbers(metric, effect) for metric, effect in read_out.effects.items()},
        "adjusted": {
            metric: {name: {"difference": value, "se": se} for name, (value, se) in estimates.items()}
            for metric, estimates in read_out.adjusted.items()
        },
        "outcomes": outcomes,
        "html": str(html) if html else None,
        "text": f"{as_text(read_out)}\n\n{of}",
    }


def _numbers(metric: str, effect: Effect) -> dict[str, Any]:
    numbers = {
        "champion": effect.base,
        "difference": effect.diff,
        "percent": 100 * effect.relative,
        "low": effect.low,
        "high": effect.high,
        "p": effect.p,
        "always_low": effect.always.low,
        "always_high": effect.always.high,
        "units_champion": effect.units[0],
        "units_candidate": effect.units[1],
        "variance_left": effect.kept,
        "split_p": effect.srm_p,
    }
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return {"verdict": verdict(metric, effect), **finite}
