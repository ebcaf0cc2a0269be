"""Both families make candidates that can be held against each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.training.small_town import COLUMNS, LAT, LON, SMALL_NET, WIDTH, draw_town
from tests.training.small_world import SMALL
from training.frontier import BATCHES, Figures, choose_for_many, choose_for_one, measure, time_models
from training.students import Candidate, Nets, Trees


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    """Of both families, fitted on the same trips."""
    town = draw_town(5000)
    families = (Trees(SMALL, COLUMNS.offset, "a"), Nets(SMALL_NET, COLUMNS, (LAT, LON), "a"))
    return [one for family in families for one in family.fit(town, holdout=1200, seed=1, tick=lambda: None)]


def test_each_candidate_is_what_it_says(candidates: list[Candidate]) -> None:
    """An exact one is its native model, a quantized one comes near; ranges hold about 80 % of trips not seen."""
    assert [one.name for one in candidates] == ["tree", "net", "net_s8s8", "net_u16s8"]
    assert [one.exact for one in candidates] == [True, True, False, False]
    fresh = draw_town(4000, seed=9)
    for one in candidates:
        eta_s, low_s, high_s = one.served.run(fresh.matrix)
        off = np.abs(eta_s - one.native(fresh.matrix)[0])
        assert off.max() < 0.1 if one.exact else off.mean() < 20.0, one.name
        assert 0.75 < ((fresh.duration_s >= low_s) & (fresh.duration_s <= high_s)).mean() < 0.85, one.name
        assert one.holdout_mae_s == pytest.approx(np.abs(eta_s - fresh.duration_s).mean(), rel=0.25), one.name


def test_candidates_are_measured_side_by_side(candidates: list[Candidate]) -> None:
    """Bytes, held-out error and a time for each batch."""
    figures = measure(candidates, draw_town(100, seed=2).matrix)
    assert [one.name for one in figures] == [one.name for one in candidates]
    assert all(one.size == len(candidate.graph) for one, candidate in zip(figures, candidates, strict=True))
    assert all(tuple(one.p50_us) == BATCHES and min(one.p50_us.values()) > 0 for one in figures)


def test_every_epoch_ticks() -> None:
    """A progress bar hears of the probe's epochs and of the net's."""
    ticks: list[None] = []
    nets = Nets(SMALL_NET, COLUMNS, (LAT, LON), "a")
    nets.fit(draw_town(600), holdout=100, seed=1, tick=lambda: ticks.append(None))
    assert len(ticks) == 2 * SMALL_NET.epochs


def test_a_latency_is_the_median_of_calls_after_the_first(candidates: list[Candidate]) -> None:
    """By a clock that says how long each call took."""
    clock = itertools.count(step=0.001)
    found = time_models(
        {"tree": candidates[0].served}, np.zeros((3, WIDTH), np.float32), rounds=5, timer=lambda: next(clock)
    )
    assert found == {"tree": pytest.approx(dict.fromkeys(BATCHES, 1000.0))}


def _figures(
    name: str, mae_s: float, one_us: float, many_us: float, *, size: int = 50_000, exact: bool = True
) -> Figures:
    return Figures(name, exact, size, mae_s, {1: one_us, 64: 50.0, 512: many_us})


def test_the_rule_parts_the_uses() -> None:
    """One trip takes the exact model that errs least, hundreds the smallest of the fast ones."""
    field = [
        _figures("tree", 240.0, 40, 4000, size=1_400_000),
        _figures("net", 240.5, 60, 360, size=84_000),
        _figures("net_s8s8", 240.6, 50, 260, exact=False),
        _figures("net_u16s8", 239.9, 90, 420, size=50_100, exact=False),
    ]
    assert (choose_for_one(field), choose_for_many(field)) == ("tree", "net_s8s8")


def test_what_errs_more_than_one_per_cent_does_not_win_by_speed() -> None:
    """And a model far slower than another does not win by accuracy within it."""
    worse = [_figures("tree", 240.0, 40, 4000), _figures("net", 242.5, 10, 360)]
    assert (choose_for_one(worse), choose_for_many(worse)) == ("tree", "tree")
    slower = [_figures("tree", 240.0, 400, 4000), _figures("net", 242.3, 10, 360)]
    assert (choose_for_one(slower), choose_for_many(slower)) == ("net", "net")
    a_little = [_figures("tree", 240.0, 100, 4000), _figures("net", 242.3, 10, 360)]
    assert choose_for_one(a_little) == "tree"


def test_without_an_exact_equal_a_rounded_one_answers() -> None:
    """Exactness is preferred among equals, not before accuracy."""
    field = [_figures("tree", 250.0, 10, 10), _figures("net_s8s8", 240.0, 10, 10, exact=False)]
    assert choose_for_one(field) == "net_s8s8"
