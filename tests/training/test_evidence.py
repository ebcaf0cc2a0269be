"""Evidence is gathered from real models, and real faults fail the gates they should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters.onnx_session import OnnxModel
from tests.training.small_town import COLUMNS, LAT, LON, SCHEMA, SMALL_NET, WIDTH, draw_town, town_trips
from tests.training.small_world import SMALL
from training.evaluate import Estimates
from training.evidence import Champion, gather, repeat_diff_s
from training.export import Head, eta_graph, stamp
from training.gates import NoReference, judge
from training.golden import golden_rows
from training.net_graph import NetHead, net_graph
from training.parity import agreement
from training.students import Candidate, Nets, Trees
from training.tiers import answers
from training.tree_ensemble import tree_node
from training.trip_vectors import TripVectors

ROWS = 4000
NOBODY = NoReference("it is the first version", accepted=True)


@pytest.fixture(scope="module")
def families() -> tuple[Trees, Nets]:
    """Both, still to be fitted."""
    schema_hash = SCHEMA.schema_hash()
    return Trees(SMALL, COLUMNS.offset, schema_hash), Nets(SMALL_NET, COLUMNS, (LAT, LON), schema_hash)


@pytest.fixture(scope="module")
def candidates(families: tuple[Trees, Nets]) -> dict[str, Candidate]:
    """By name, fitted on the same trips."""
    town = draw_town(5000)
    found = [one for family in families for one in family.fit(town, holdout=1200, seed=1, tick=lambda: None)]
    return {one.name: one for one in found}


@pytest.fixture(scope="module")
def test_trips() -> TripVectors:
    """Twenty days of trips that nobody was fitted on."""
    return town_trips(ROWS, a_day=200)


def failed(candidate: Candidate, trips: TripVectors, champion: Champion | NoReference = NOBODY) -> list[str]:
    """Gates that a candidate does not pass as `matrix.onnx`, for which both families may stand."""
    reference = np.exp(trips.matrix[:, 9].astype(np.float64))
    evidence = gather(
        candidate,
        use="matrix.onnx",
        batch=512,
        parity=agreement(candidate.native, candidate.served, trips.matrix, rows=1000, seed=0),
        test=trips,
        labels={"half": np.where(trips.context.hour < 12, "morning", "evening").astype(object)},
        golden=golden_rows(candidate.served, trips.matrix, SCHEMA, rows=200, seed=0),
        estimates={"reference": Estimates(reference), candidate.name: answers(candidate.served, trips.matrix)},
        baselines=("reference",),
        schema=SCHEMA,
        champion=champion,
    )
    return [one.name for one in judge(evidence) if not one.passed]


def remade(candidate: Candidate, graph: bytes) -> Candidate:
    """The same candidate with another export."""
    graph = stamp(graph, SCHEMA.schema_hash())
    return replace(candidate, graph=graph, served=OnnxModel(graph))


@pytest.mark.parametrize("name", ["tree", "net", "net_s8s8", "net_u16s8"])
def test_a_sound_candidate_passes(candidates: dict[str, Candidate], test_trips: TripVectors, name: str) -> None:
    """Without a champion, and against itself."""
    one = candidates[name]
    assert failed(one, test_trips) == []
    assert set(failed(one, test_trips, Champion("eta@1", one.served))) <= {"latency"}  # a busy machine's affair


def test_an_export_with_another_head_fails_parity(
    families: tuple[Trees, Nets], candidates: dict[str, Candidate], test_trips: TripVectors
) -> None:
    """A range that is not the trained one is enough."""
    student: Any = families[0].student
    other = eta_graph(tree_node(student.booster), WIDTH, Head(0.7, student.head.high_factor, COLUMNS.offset))
    assert failed(remade(candidates["tree"], other), test_trips) == ["parity"]


def test_a_net_that_can_not_read_its_places_fails_parity(
    families: tuple[Trees, Nets], candidates: dict[str, Candidate], test_trips: TripVectors
) -> None:
    """Its embeddings are off by one place."""
    student: Any = families[1].student
    shifted = replace(
        student.net, weights={**student.net.weights, "places": np.roll(student.net.weights["places"], 1, 0)}
    )
    assert "parity" in failed(remade(candidates["net"], net_graph(shifted, WIDTH, student.head)), test_trips)


def test_answers_that_are_no_numbers_are_found(
    families: tuple[Trees, Nets], candidates: dict[str, Candidate], test_trips: TripVectors
) -> None:
    """One NaN among the weights."""
    student: Any = families[1].student
    weights = {**student.net.weights, "b3": np.array([0.0, np.nan, 0.0], np.float32)}
    broken = net_graph(replace(student.net, weights=weights), WIDTH, NetHead(0.0, 0.0, COLUMNS.offset))
    assert "finite" in failed(remade(candidates["net"], broken), test_trips)


def test_a_worse_model_does_not_follow_a_better_champion(
    candidates: dict[str, Candidate], test_trips: TripVectors
) -> None:
    """Three trees against the net: by the whole, and in a slice."""
    (few,) = Trees(replace(SMALL, rounds=3), COLUMNS.offset, SCHEMA.schema_hash()).fit(
        draw_town(5000), holdout=1200, seed=1, tick=lambda: None
    )
    found = failed(few, test_trips, Champion("eta@1", candidates["net"].served))
    assert [name for name in found if name != "latency"] == ["champion", "slices"]


def test_a_fresh_session_answers_the_same(candidates: dict[str, Candidate], test_trips: TripVectors) -> None:
    """Loaded anew, and row by row."""
    for one in candidates.values():
        assert repeat_diff_s(one, test_trips.matrix[:300]) <= 0.05, one.name
