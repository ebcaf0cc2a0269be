"""Each gate refuses a candidate that fails it and nothing else; none passes for want of data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.manifest import Parity
from training.evaluate import Estimates, mae_change_interval
from training.gates import Evidence, GatesFailed, Limits, NoReference, Reference, SchemaFound, judge

ROWS = 6000
_RNG = np.random.default_rng(0)
ACTUAL_S = np.clip(_RNG.lognormal(6.4, 0.5, ROWS), 60, 7200)
ETA_S = np.clip(ACTUAL_S * _RNG.lognormal(0, 0.2, ROWS), 60, 7200)
DAY = np.arange(ROWS) // 200
BOROUGH = np.where(_RNG.random(ROWS) < 0.2, "Queens", "Manhattan").astype(object)
HOUR = np.array([f"{hour:02d}" for hour in _RNG.integers(0, 24, ROWS)], dtype=object)
SAME = SchemaFound(40, "a" * 64, 40, "a" * 64)


def _range(eta_s: Any) -> Estimates:
    return Estimates(eta_s, np.clip(eta_s * 0.8, 60, 7200), np.clip(eta_s * 1.3, 60, 7200))


CHAMPION = Reference("eta@1", np.clip(ETA_S * _RNG.lognormal(0, 0.01, ROWS), 60, 7200), 40.0)
GOOD = Evidence(
    use="eta.onnx",
    candidate="tree",
    exact=True,
    schema=SAME,
    parity=Parity(rows=100_000, max_abs_diff_s=0.004, branch_flips=0),
    size=1_000_000,
    size_limit=2_000_000,
    p50_us=40.0,
    batch=1,
    actual_s=ACTUAL_S,
    day=DAY,
    labels={"borough": BOROUGH, "hour": HOUR},
    answers=_range(ETA_S),
    native_s=ETA_S,
    awkward=_range(ETA_S[:500]),
    repeat_diff_s=0.001,
    baselines={"pair_median": ACTUAL_S * _RNG.lognormal(0, 0.3, ROWS)},
    champion=CHAMPION,
)
ROUNDED = replace(GOOD, candidate="net_s8s8", exact=False, size=50_000, size_limit=61_440)


def _worse(eta_s: Any, share: float, rows: Any = slice(None)) -> Any:
    """Estimates whose error is larger by a share in some of the rows."""
    worse = np.array(eta_s)
    worse[rows] = ACTUAL_S[rows] + (1 + share) * (worse[rows] - ACTUAL_S[rows])
    return np.clip(worse, 60, 7200)


def _failed(evidence: Evidence) -> list[str]:
    return [one.name for one in judge(evidence) if not one.passed]


@pytest.mark.parametrize("evidence", [GOOD, ROUNDED])
def test_a_good_candidate_passes(evidence: Evidence) -> None:
    """With a sentence for each gate."""
    results = judge(evidence)
    assert _failed(evidence) == []
    assert len({one.name for one in results}) == len(results) == 10
    assert all(one.words for one in results)


@pytest.mark.parametrize(
    ("gate", "change", "words"),
    [
        ("schema", {"schema": replace(SAME, schema_hash="b" * 64)}, "40 entries of schema bbbbbbbbbbbb…, expected 40"),
        ("schema", {"schema": replace(SAME, width=39)}, "39 entries of schema aaaaaaaaaaaa…, expected 40"),
        ("finite", {"awkward": _range(np.append(ETA_S[:9], np.nan))}, "1 of 6010 answers are no number"),
        ("finite", {"awkward": _range(np.append(ETA_S[:9], 9000.0))}, "outside 60..7200 s"),
        ("finite", {"awkward": Estimates(ETA_S[:9], ETA_S[:9] + 1, ETA_S[:9] + 2)}, "9 of 6009 answers"),
        ("determinism", {"repeat_diff_s": 0.06}, "differ by 0.060 s, at most 0.05 s"),
        ("parity", {"parity": Parity(100_000, 0.0, 1)}, "1 of 100,000 rows take another branch, expected 0"),
        ("parity", {"parity": Parity(100_000, 0.2, 0)}, "up to 0.200 s off, at most 0.1 s"),
        ("size", {"size": 2_000_001}, "2,000,001 bytes, at most 2,000,000"),
        ("latency", {"p50_us": 150.0}, "150 µs for 1 at a time against 40 µs of eta@1, +275%, at most +250%"),
        (
            "latency",
            {"p50_us": 460.0, "batch": 512, "champion": replace(CHAMPION, p50_us=300.0)},
            "460 µs for 512 at a time against 300 µs of eta@1, +53%, at most +50%",
        ),
        ("baselines", {"baselines": {"pair_median": ETA_S}}, "against pair_median (95 % over days), expected below"),
        (
            "champion",
            {"champion": replace(CHAMPION, eta_s=_worse(ETA_S, -0.02))},
            "against eta@1 (95 % over days), at most +1.00%",
        ),
        (
            "slices",
            {"champion": replace(CHAMPION, eta_s=_worse(_worse(ETA_S, 0.05), -0.2, BOROUGH == "Queens"))},
            "in borough Queens the error is +",
        ),
    ],
)
def test_each_gate_refuses_what_fails_it_alone(gate: str, change: dict[str, Any], words: str) -> None:
    """And says by how much."""
    evidence = replace(GOOD, **change)
    assert _failed(evidence) == [gate]
    (result,) = (one for one in judge(evidence) if one.name == gate)
    assert words in result.words


@pytest.mark.parametrize(
    ("native_s", "words"),
    [
        (_worse(ETA_S, -0.01), "quantization changes the error by +1.0"),
        (_worse(ETA_S, -0.05, HOUR == "08"), "in hour 08, at most +2.00%"),
    ],
)
def test_rounding_that_costs_accuracy_is_refused(native_s: Any, words: str) -> None:
    """Over all trips, and in the slice that it hits most."""
    labels = {"hour": np.where(HOUR == "08", "08", "other").astype(object)}
    evidence = replace(ROUNDED, native_s=native_s, labels=labels)
    results = {one.name: one for one in judge(evidence, Limits(slice_trips=200))}
    assert [name for name, one in results.items() if not one.passed] == ["parity"]
    assert words in results["parity"].words


@pytest.mark.parametrize(
    ("gate", "change"),
    [
        ("finite", {"awkward": Estimates(ETA_S[:0])}),
        ("determinism", {"repeat_diff_s": float("nan")}),
        ("parity", {"parity": Parity(0, 0.0, 0)}),
        ("latency", {"p50_us": float("nan")}),
        ("baselines", {"baselines": {}}),
        ("baselines", {"baselines": {**GOOD.baselines, "haversine": ETA_S[:0]}}),
        ("slices", {"labels": {"borough": np.array([f"b{i}" for i in range(ROWS)], dtype=object)}}),
    ],
)
def test_no_data_is_no_proof(gate: str, change: dict[str, Any]) -> None:
    """A gate that has nothing to judge refuses."""
    assert _failed(replace(GOOD, **change)) == [gate]


def test_the_first_version_needs_no_champion() -> None:
    """One gate says why nothing was compared, the three that would compare point to it, the others still judge."""
    nobody = NoReference("it is the first version", accepted=True)
    results = {one.name: one for one in judge(replace(GOOD, champion=nobody, p50_us=1e6))}
    assert all(one.passed for one in results.values())
    assert results["comparison"].words == "not held against a champion: it is the first version"
    for gate in ("latency", "champion", "slices"):
        assert "the gate `comparison` says why" in results[gate].words


def test_a_champion_that_can_not_be_compared_is_a_refusal() -> None:
    """By one gate, until somebody lets it through by name."""
    unlike = NoReference("eta@3 has learned from trips of the test, up to 2021-01-04", accepted=False)
    assert _failed(replace(GOOD, champion=unlike)) == ["comparison"]
    assert _failed(replace(GOOD, champion=replace(unlike, accepted=True))) == []


def test_an_interval_over_too_few_days_is_no_proof() -> None:
    """Two days resampled say little of other days, however good both were."""
    assert _failed(replace(GOOD, day=np.arange(ROWS) % 2)) == ["baselines", "champion"]


def test_a_slice_that_can_not_be_judged_is_the_worst() -> None:
    """NaN answers of the champion in one slice do not hide behind the next slice."""
    holes = np.where(BOROUGH == "Manhattan", np.nan, CHAMPION.eta_s)
    assert "slices" in _failed(replace(GOOD, champion=replace(CHAMPION, eta_s=holes)))


def test_a_refusal_names_every_failed_gate() -> None:
    """The use, the candidate, which of the gates, and by how much."""
    failure = GatesFailed("eta.onnx", "tree", judge(replace(GOOD, size=3_000_000, repeat_diff_s=1.0)))
    assert str(failure) == (
        "tree for eta.onnx failed 2 of 10 gates and is not kept: determinism: the same rows asked again, alone or "
        "among others, differ by 1.000 s, at most 0.05 s; size: 3,000,000 bytes, at most 2,000,000"
    )


def test_a_change_is_judged_on_the_same_days() -> None:
    """A model against itself has no interval; one a tenth worse has a narrow one, however the days vary."""
    assert mae_change_interval(ACTUAL_S, ETA_S, ETA_S, DAY) == (0.0, 0.0)
    low, high = mae_change_interval(ACTUAL_S, ACTUAL_S + 1.1 * (ETA_S - ACTUAL_S), ETA_S, DAY)
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.1))
