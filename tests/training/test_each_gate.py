"""Each gate refuses a candidate that was built to fail it, and no other gate does.

All are exports of one sound tree model that were tampered with, or hold another model beside them; whatever was done to
the graph was done to its native twin as well, but where the twin is the point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from adapters.onnx_session import OnnxModel
from contracts.manifest import Parity
from contracts.schema import Floats, Matrix
from tests.training.small_town import COLUMNS, SCHEMA, WIDTH, draw_town, town_trips
from tests.training.small_world import SMALL
from training.evaluate import Estimates
from training.evidence import EXACT_LIMITS, Champion, gather
from training.export import LEAF_STEP, Head, _edited, eta_graph, stamp
from training.gates import GateResult, NoReference, judge
from training.golden import golden_rows
from training.parity import agreement, full_parity
from training.student import Student
from training.students import Candidate, Trees
from training.tiers import answers
from training.tree_ensemble import tree_node
from training.trip_vectors import TripVectors

ROWS = 8000
HOUR = 4
RUSH = (8.0, 9.7)  # about 560 of the trips
ANCHOR = 9


@dataclass(frozen=True)
class Town:
    """A sound candidate, who is champion too, and trips that it was not fitted on."""

    student: Student
    sound: Candidate
    trips: TripVectors

    def candidate(self, graph: bytes, student: Student | None = None) -> Candidate:
        """The sound one with another graph, and with another native twin where one is given."""
        graph = stamp(graph, SCHEMA.schema_hash())
        native = self.sound.native if student is None else _native(student)
        return replace(self.sound, graph=graph, served=OnnxModel(graph), native=native)

    def exported(self, student: Student) -> Candidate:
        """A student and its true export."""
        return self.candidate(eta_graph(tree_node(student.booster), WIDTH, student.head), student)


@pytest.fixture(scope="module")
def town() -> Town:
    """One model, twenty days of test trips."""
    trees = Trees(SMALL, COLUMNS.offset, SCHEMA.schema_hash())
    (sound,) = trees.fit(draw_town(5000), holdout=1200, seed=1, tick=lambda: None)
    assert trees.student is not None
    return Town(trees.student, sound, town_trips(ROWS, a_day=400))


def verdicts(
    town: Town,
    candidate: Candidate,
    *,
    champion: Champion | NoReference | None = None,
    parity: Parity | None = None,
    batch: int = 1,
) -> dict[str, GateResult]:
    """What the gates say of a candidate, as a training run asks them."""
    trips = town.trips
    rush = (trips.matrix[:, HOUR] >= RUSH[0]) & (trips.matrix[:, HOUR] < RUSH[1])
    reference = np.clip(np.exp(trips.matrix[:, ANCHOR].astype(np.float64)), 60, 7200)
    evidence = gather(
        candidate,
        use="eta.onnx",
        batch=batch,
        parity=parity or agreement(candidate.native, candidate.served, trips.matrix, rows=1000, seed=0),
        test=trips,
        labels={"time": np.where(rush, "rush", "other").astype(object)},
        golden=golden_rows(candidate.served, trips.matrix, SCHEMA, rows=200, seed=0),
        estimates={"reference": Estimates(reference), candidate.name: answers(candidate.served, trips.matrix)},
        baselines=("reference",),
        schema=SCHEMA,
        champion=champion or Champion("eta@1", town.sound.served),
    )
    return {one.name: one for one in judge(evidence)}


def refused(results: dict[str, GateResult]) -> list[str]:
    """Names of the gates that refuse."""
    return [name for name, one in results.items() if not one.passed]


def test_the_model_that_all_are_made_of_passes(town: Town) -> None:
    """Against itself, too."""
    assert refused(verdicts(town, town.sound)) == []


def test_schema(town: Town) -> None:
    """Made for vectors whose entries stand in another order: nothing else tells, its width is the same."""
    graph = stamp(town.sound.graph, "b" * 64)
    results = verdicts(town, replace(town.sound, graph=graph, served=OnnxModel(graph)))
    assert refused(results) == ["schema"]
    assert results["schema"].words == f"10 entries of schema bbbbbbbbbbbb…, expected 10 of {SCHEMA.schema_hash()[:12]}…"


def test_finite(town: Town) -> None:
    """The low end of its range lies above the estimate, in the native model as well."""
    results = verdicts(town, town.exported(replace(town.student, head=Head(1.05, 1.3, COLUMNS.offset))))
    assert refused(results) == ["finite"]
    assert results["finite"].value > ROWS * 0.9
    assert "answers are no number, out of order or outside 60..7200 s, expected 0" in results["finite"].words


def test_determinism(town: Town) -> None:
    """A few hundredths of a second of noise: less than parity allows, more than a replica tolerates of itself."""

    def noisy(seconds: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("RandomUniformLike", ["steady"], ["noise"], low=-0.04, high=0.04),
            helper.make_node("Add", ["steady", "noise"], [seconds]),
        ]

    results = verdicts(town, town.candidate(_spliced(town.sound.graph, "Exp", "steady", noisy)))
    assert refused(results) == ["determinism"]
    assert 0.05 < results["determinism"].value < 0.2
    assert "differ by 0." in results["determinism"].words


def test_parity_of_seconds(town: Town) -> None:
    """Its range is not the one that was calibrated."""
    graph = eta_graph(tree_node(town.student.booster), WIDTH, Head(0.7, town.student.head.high_factor, COLUMNS.offset))
    results = verdicts(town, town.candidate(graph))
    assert refused(results) == ["parity"]
    assert results["parity"].value > 1.0


def test_parity_of_branches(town: Town) -> None:
    """Thresholds are a hair off, which only the rows at them tell: hardly a second is wrong."""
    largest = np.finfo(np.float32).max
    hair = _edited(town.student.booster, "threshold", lambda values: np.nextafter(values.astype(np.float32), largest))
    one = town.candidate(eta_graph(tree_node(hair), WIDTH, town.student.head))
    matrix, booster, head = town.trips.matrix, town.student.booster, town.student.head
    results = verdicts(town, one, parity=full_parity(booster, head, one.graph, matrix, rows=1000, seed=0))
    assert refused(results) == ["parity"]
    assert "rows take another branch, expected 0" in results["parity"].words
    assert not results["parity"].words.startswith("0 of")


def test_parity_of_what_was_rounded(town: Town) -> None:
    """Eight bits that cost nothing over all trips, and more than 2 % in the rush."""
    graph = _spliced(town.sound.graph, "TreeEnsemble", "sum", _biased(0.05))
    one = replace(town.candidate(graph), name="net_s8s8", exact=False)
    results = verdicts(town, one, champion=Champion("eta@1", one.served))
    assert refused(results) == ["parity"]
    assert results["parity"].value < 0.005
    assert "in time rush, at most +2.00%" in results["parity"].words


def test_size(town: Town) -> None:
    """A megabyte of nothing."""
    model = onnx.load_from_string(town.sound.graph)
    model.doc_string = "-" * EXACT_LIMITS["tree"]
    results = verdicts(town, town.candidate(bytes(model.SerializeToString())))
    assert refused(results) == ["size"]
    assert results["size"].words.endswith("bytes, at most 1,048,576")


def test_latency(town: Town) -> None:
    """A million multiplications that come to nothing, before each answer."""
    side = 1000

    def slow(raw: str) -> list[onnx.NodeProto]:
        square = numpy_helper.from_array(np.array([side, side], dtype=np.int64))
        one = numpy_helper.from_array(np.array([ANCHOR], dtype=np.int64))
        nothing = numpy_helper.from_array(np.float32(0.0))
        return [
            helper.make_node("Constant", [], ["square"], value=square),
            helper.make_node("Constant", [], ["one"], value=one),
            helper.make_node("Constant", [], ["nothing"], value=nothing),
            helper.make_node("ConstantOfShape", ["square"], ["ones"], value=numpy_helper.from_array(np.ones(1, "f4"))),
            helper.make_node("Gather", ["features", "one"], ["anchor"], axis=1),
            helper.make_node("Slice", ["ones", "first", "next", "first"], ["row"]),
            helper.make_node("MatMul", ["anchor", "row"], ["wide"]),
            helper.make_node("MatMul", ["wide", "ones"], ["wider"]),
            helper.make_node("ReduceMax", ["wider"], ["largest"], keepdims=1),
            helper.make_node("Mul", ["largest", "nothing"], ["zero"]),
            helper.make_node("Add", ["sum", "zero"], [raw]),
        ]

    limits = {"first": [0], "next": [1]}
    one = town.candidate(_spliced(town.sound.graph, "TreeEnsemble", "sum", slow, limits))
    results = verdicts(town, one, batch=512)
    assert refused(results) == ["latency"]
    assert "for 512 at a time against" in results["latency"].words


def test_baselines(town: Town) -> None:
    """It says what the reference says, and a little less; its champion is no better."""
    little = _edited(town.student.booster, "leaf_value", lambda values: 0.0 * values - 2 * LEAF_STEP)
    one = town.exported(replace(town.student, booster=little))
    results = verdicts(town, one, champion=Champion("eta@1", one.served))
    assert refused(results) == ["baselines"]
    assert results["baselines"].value > 0.0
    assert "against reference (95 % over days), expected below +0.0%" in results["baselines"].words


def test_comparison(town: Town) -> None:
    """Nothing is wrong with it, but its champion has seen the test."""
    unlike = NoReference("eta@1 has learned from trips of the test", accepted=False)
    results = verdicts(town, town.sound, champion=unlike)
    assert refused(results) == ["comparison"]
    assert results["comparison"].words == "not held against a champion: eta@1 has learned from trips of the test"


def test_champion(town: Town) -> None:
    """It is a little late with every trip: worse by some two per cent everywhere, by five nowhere."""
    steps = 7  # each of forty trees: 3.4 % of the duration
    late = _edited(town.student.booster, "leaf_value", lambda values: values + steps * LEAF_STEP)
    results = verdicts(town, town.exported(replace(town.student, booster=late)))
    assert refused(results) == ["champion"]
    assert 0.01 < results["champion"].value < 0.05
    assert "against eta@1 (95 % over days), at most +1.00%" in results["champion"].words


def test_slices(town: Town) -> None:
    """It is late in the rush alone: one trip in fourteen, less than a hundredth of the whole."""
    graph = _spliced(town.sound.graph, "TreeEnsemble", "sum", _biased(0.063))
    one = town.candidate(graph)

    def native(matrix: Matrix) -> tuple[Floats, Floats, Floats]:
        raw = town.student.booster.predict(matrix) + 0.063 * (matrix[:, HOUR] >= RUSH[0]) * (matrix[:, HOUR] < RUSH[1])
        eta_s = town.student.head.eta_s(raw, matrix)
        return eta_s, *town.student.head.interval(eta_s)

    results = verdicts(town, replace(one, native=native))
    assert refused(results) == ["slices"]
    assert "in time rush the error is +" in results["slices"].words


def _native(student: Student) -> Callable[[Matrix], tuple[Floats, Floats, Floats]]:
    def native(matrix: Matrix) -> tuple[Floats, Floats, Floats]:
        eta_s = student.predict(matrix)
        return eta_s, *student.interval(eta_s)

    return native


def _biased(log_s: float) -> Callable[[str], list[onnx.NodeProto]]:
    """Nodes that add `log_s` to the sum in the rush."""

    def nodes(raw: str) -> list[onnx.NodeProto]:
        constants: dict[str, Any] = {
            "at": np.array([HOUR], dtype=np.int64),
            "begin": np.float32(RUSH[0]),
            "end": np.float32(RUSH[1]),
            "log_s_more": np.float32(log_s),
        }
        return [
            *(
                helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))
                for name, value in constants.items()
            ),
            helper.make_node("Gather", ["features", "at"], ["hour"], axis=1),
            helper.make_node("GreaterOrEqual", ["hour", "begin"], ["after"]),
            helper.make_node("Less", ["hour", "end"], ["before"]),
            helper.make_node("And", ["after", "before"], ["inside"]),
            helper.make_node("Cast", ["inside"], ["factor"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", ["factor", "log_s_more"], ["more"]),
            helper.make_node("Add", ["sum", "more"], [raw]),
        ]

    return nodes


def _spliced(
    graph: bytes,
    operator: str,
    renamed: str,
    nodes: Callable[[str], list[onnx.NodeProto]],
    constants: dict[str, list[int]] | None = None,
) -> bytes:
    """The graph with nodes behind the one of an operator: they read `renamed` and give what it gave before."""
    model = onnx.load_from_string(graph)
    (at,) = [at for at, node in enumerate(model.graph.node) if node.op_type == operator]
    before = model.graph.node[at].output[0]
    model.graph.node[at].output[0] = renamed
    for place, node in enumerate(nodes(before), start=at + 1):
        model.graph.node.insert(place, node)
    for name, value in (constants or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.int64), name))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
