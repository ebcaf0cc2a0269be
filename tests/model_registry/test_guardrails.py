"""Guardrails by a table of cases, and mutants of the code that the same table must catch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from model_registry import guardrails
from model_registry.evidence import Arm, Cell, Evidence
from model_registry.guardrails import Outcome, Verdict
from model_registry.histogram import Histogram
from model_registry.policy import Guardrail, Hard

NOW = 6000.0
ERRORS = Guardrail("error_rate", max=0.005, for_s=600, hard=Hard(max=0.5, min_samples=20))
LATENCY = Guardrail("latency_p99_ms", max=150, for_s=600)
MAE = Guardrail("mae_ratio", max=1.02, baseline="champion", for_s=600)
SRM = Guardrail("srm_p_value", min=0.001, sequential=True)
Judge = Callable[[Guardrail, Evidence, float, float], Verdict]


def errors(bad: int, n: int, champion_bad: int = 0, champion_n: int = 10_000) -> Evidence:
    """One cell of requests with failures."""
    return Evidence((Cell(NOW - 60, Arm(champion_n, champion_bad), Arm(n, bad)),), n)


def slow(share: float, n: int, champion_share: float = 0.0) -> Evidence:
    """One cell in which a share of the requests took 400 ms and the rest 20."""

    def arm(part: float) -> Arm:
        late = round(part * n)
        return Arm(n, latency=Histogram.of([400.0] * late + [20.0] * (n - late)))

    return Evidence((Cell(NOW - 60, arm(champion_share), arm(share)),), n)


def labelled(ratio: float, n: int, champion_n: int = 50_000) -> Evidence:
    """One cell of exponential errors, with a mean of 100 s for the champion."""

    def arm(mean: float, count: int) -> Arm:
        return Arm(count, labels=count, abs_error_sum=mean * count, abs_error_sumsq=2 * mean**2 * count)

    return Evidence((Cell(NOW - 60, arm(100, champion_n), arm(100 * ratio, n)),), n)


# What the judge must say. Rows near a limit are what a changed comparison trips over.
CASES: list[tuple[str, Guardrail, Evidence, float, Outcome, bool]] = [
    ("nothing", ERRORS, Evidence(), 5, Outcome.NO_DATA, False),
    ("too few", ERRORS, errors(0, 99), 5, Outcome.NO_DATA, False),
    ("just enough", ERRORS, errors(0, 100), 5, Outcome.PASS, False),
    ("on the limit", ERRORS, errors(5, 1000), 5, Outcome.PASS, False),
    ("above, unproven", ERRORS, errors(10, 1000), 5, Outcome.INCONCLUSIVE, False),
    ("above, proven", ERRORS, errors(30, 1000), 5, Outcome.FAIL, False),
    ("ten requests", ERRORS, errors(10, 10), 5, Outcome.NO_DATA, False),
    ("19 of 19", ERRORS, errors(19, 19), 5, Outcome.NO_DATA, False),
    ("20 of 20", ERRORS, errors(20, 20), 5, Outcome.FAIL, True),
    ("11 of 20", ERRORS, errors(11, 20), 5, Outcome.NO_DATA, False),
    ("both sick", ERRORS, errors(30, 1000, 500), 5, Outcome.INCONCLUSIVE, False),
    ("both down", ERRORS, errors(20, 20, 10_000), 5, Outcome.INCONCLUSIVE, False),
    ("champion unlucky", ERRORS, errors(30, 1000, 1, 100), 5, Outcome.FAIL, False),
    ("down, champion sick", ERRORS, errors(20, 20, 200), 5, Outcome.FAIL, True),
    ("champion unseen", ERRORS, errors(30, 1000, 0, 0), 5, Outcome.FAIL, False),
    ("fast", LATENCY, slow(0.005, 1000), 5, Outcome.PASS, False),
    ("2 % slow, few", LATENCY, slow(0.02, 200), 5, Outcome.INCONCLUSIVE, False),
    ("3 % slow", LATENCY, slow(0.03, 1000), 5, Outcome.FAIL, False),
    ("3 % slow, champion too", LATENCY, slow(0.03, 1000, 0.03), 5, Outcome.INCONCLUSIVE, False),
    ("no times", LATENCY, errors(0, 1000), 5, Outcome.NO_DATA, False),
    ("as good", MAE, labelled(1.0, 600), 5, Outcome.PASS, False),
    ("on the margin", MAE, labelled(1.02, 600), 5, Outcome.PASS, False),
    ("worse, unproven", MAE, labelled(1.08, 600), 5, Outcome.INCONCLUSIVE, False),
    ("worse, proven", MAE, labelled(1.2, 600), 5, Outcome.FAIL, False),
    ("few labels", MAE, labelled(1.5, 499), 5, Outcome.NO_DATA, False),
    ("few of the champion's", MAE, labelled(1.5, 600, 499), 5, Outcome.NO_DATA, False),
    ("unlabelled", MAE, errors(0, 1000), 5, Outcome.NO_DATA, False),
    ("NaN labels", MAE, labelled(float("nan"), 600), 5, Outcome.INCONCLUSIVE, False),
    ("no units", SRM, Evidence(), 5, Outcome.NO_DATA, False),
    ("as planned", SRM, Evidence(units=(9500, 500)), 5, Outcome.PASS, False),
    ("skewed", SRM, Evidence(units=(9000, 1000)), 5, Outcome.FAIL, False),
    ("skewed the other way", SRM, Evidence(units=(9900, 100)), 5, Outcome.FAIL, False),
    ("shadow splits nobody", SRM, Evidence(units=(10_000, 10_000)), 0, Outcome.PASS, False),
]


def wrong(judge: Judge) -> list[str]:
    """The cases that a judge gets wrong."""
    found = []
    for name, guardrail, evidence, percent, outcome, at_once in CASES:
        verdict = judge(guardrail, evidence, percent, NOW)
        # By value: a mutant's module has an Outcome of its own.
        if (str(verdict.outcome), verdict.at_once) != (outcome.value, at_once):
            found.append(f"{name}: {verdict.outcome} ({verdict.reason})")
    return found


def test_every_case_gets_its_verdict() -> None:
    """The table, by the real judge."""
    assert wrong(guardrails.judge) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("if found.lower > limit:", "if found.lower < limit:"),
        ("if found.lower > limit:", "if found.estimate > limit:"),
        ("if n < guardrail.min_samples:", "if n <= guardrail.min_samples:"),
        ("if n >= hard.min_samples", "if n > hard.min_samples"),
        ("estimate <= limit, limit, n)", "estimate < limit, limit, n)"),
        ("math.sqrt(var + limit**2 * base_var) > 0", "math.sqrt(var + limit**2 * base_var) < 0"),
        ("excess <= 0, limit, n)", "excess > 0, limit, n)"),
        ("if fewest < needed:", "if n < needed:"),
        ("Outcome.PASS if p >= limit", "Outcome.PASS if p <= limit"),
        ("cells], alpha).lower > limit", "cells], alpha).estimate > limit"),
    ],
)
def test_a_changed_comparison_is_caught(old: str, new: str, tmp_path: Path) -> None:
    """A judge with one comparison changed gets at least one case wrong."""
    assert wrong(mutant(old, new, tmp_path).judge)


def mutant(old: str, new: str, folder: Path) -> ModuleType:
    """The judge's module with a text replaced."""
    source = Path(guardrails.__file__).read_text()
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in the judge"
    path = folder / "mutant.py"
    path.write_text(source.replace(old, new))
    spec = importlib.util.spec_from_file_location("mutant_of_guardrails", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_reason_names_the_metric_the_figure_and_the_limit() -> None:
    """A verdict explains itself."""
    reason = guardrails.judge(ERRORS, errors(30, 1000), 5, NOW).reason
    assert reason == "error_rate 0.03, surely above 0.01597, limit 0.005, 1000 samples"


def test_the_window_forgets_what_is_older_than_for() -> None:
    """At high traffic a fault that is over does not hold the rollout."""
    bad = Cell(NOW - 1200, Arm(10_000), Arm(10_000, 900))
    good = tuple(Cell(NOW - 60 * i, Arm(10_000), Arm(10_000)) for i in range(10, 0, -1))
    assert guardrails.judge(ERRORS, Evidence((bad, *good), 1), 5, NOW).outcome is Outcome.PASS


def test_low_traffic_lengthens_the_window() -> None:
    """Two requests a minute are judged over hours, not never."""
    cells = tuple(Cell(NOW - 60 * i, Arm(1000), Arm(2, i % 10 == 0)) for i in range(400, 0, -1))
    verdict = guardrails.judge(ERRORS, Evidence(cells, 800), 1, NOW)
    assert (verdict.outcome, "800 samples" in verdict.reason) == (Outcome.FAIL, True)


def test_impossible_counts_are_refused() -> None:
    """Negative errors would pass every bound."""
    with pytest.raises(ValueError, match="-1 errors"):
        Arm(10, -1)
