"""What teachers hand on, and that nothing of the trips held out is in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adapters.onnx_session import OnnxModel
from contracts.distance import typical_log_s
from contracts.features import ETA_SCHEMA
from contracts.hindsight import AFTERWARDS, Own, TripsAround
from contracts.local_time import Ints
from contracts.schema import Floats, Matrix
from contracts.zones import Positions
from tests.fakes import constant_onnx
from tests.some_trips import ZONES, some_trips
from training.context import describe_trips
from training.distill import Background, predict_out_of_fold, teach
from training.distilled import DISTILLED, HARD, compare, table
from training.hindsight import OFFSET_AT, mask_hindsight, with_hindsight
from training.labels import Flags, Queries, fold_of
from training.settings import DistillSettings, TreeSettings
from training.students import Candidate
from training.trip_vectors import TripVectors

ROWS, HOLDOUT, QUERIES, FOLDS = 3000, 600, 400, 3
SMALL = TreeSettings(rounds=15, leaves=15, learning_rate=0.2)
SETTINGS = DistillSettings(folds=FOLDS, share=0.5)
MORE = len(AFTERWARDS)


class Around(TripsAround):
    """Tells of the labels it was given, so that a test can see where they go."""

    def __init__(self, log_excess: Floats) -> None:
        self.level = float(log_excess.mean())

    def around(self, pickup: Positions, dropoff: Positions, at_s: Ints, *, hidden: Ints, own: Own | None) -> Floats:  # noqa: ARG002
        """The same for everybody."""
        return np.full((MORE, len(at_s)), self.level)


@pytest.fixture(scope="module")
def trips() -> TripVectors:
    """Trips whose first entry says how long they take."""
    frame, rng = some_trips(ROWS, days=20, seed=4), np.random.default_rng(4)
    matrix = rng.normal(size=(ROWS, len(ETA_SCHEMA.names))).astype(np.float32)
    matrix[:, OFFSET_AT] = rng.normal(6.4, 0.3, ROWS)
    log_s = matrix[:, OFFSET_AT] + 0.4 * np.tanh(matrix[:, 0]) + rng.normal(0, 0.15, ROWS)
    return TripVectors(ZONES, describe_trips(frame, ZONES), matrix, np.clip(np.exp(log_s), 60, 7200))


def background(trips: TripVectors) -> Background:
    """Folds by number, queries throughout the time."""
    started = np.sort(np.random.default_rng(1).integers(0, 20 * 86_400, ROWS))
    excess = np.log(trips.duration_s) - typical_log_s(trips.context.distance_m)
    rng = np.random.default_rng(9)
    queries = Queries(*rng.integers(0, 4, (2, QUERIES)).astype(np.intp), np.sort(rng.integers(0, started[-1], QUERIES)))

    def neighbours(which: Flags) -> TripsAround:
        return Around(excess[which])

    matrix: Matrix = trips.matrix[rng.integers(0, ROWS, QUERIES)]
    return Background(started, fold_of([f"t{i}" for i in range(ROWS)], FOLDS), excess, neighbours, queries, matrix)


def test_lessons_are_softer_than_records_and_hold_queries(trips: TripVectors) -> None:
    """Nearer the truth than the records are; both parts end where they should."""
    ticks: list[int] = []
    made = background(trips)
    taught = teach(trips, made, SMALL, SETTINGS, holdout=HOLDOUT, seed=1, tick=lambda: ticks.append(1))
    assert len(ticks) == FOLDS * SMALL.rounds
    cut_s = made.started_s[ROWS - HOLDOUT]
    before = int((made.queries.at_s < cut_s).sum())
    assert len(taught.lessons.earlier) == ROWS - HOLDOUT + before
    assert len(taught.lessons.all) == ROWS + QUERIES
    truth = np.exp(trips.matrix[:, OFFSET_AT] + 0.4 * np.tanh(trips.matrix[:, 0]))
    off = np.abs(np.log(taught.lessons.all.duration_s[:ROWS] / truth)).mean()
    assert off < 0.8 * np.abs(np.log(trips.duration_s / truth)).mean()
    assert 0 <= taught.figures["quarantined_share"] < 0.15
    assert taught.figures["queries"] == QUERIES


def test_nothing_held_out_reaches_the_earlier_lessons(trips: TripVectors) -> None:
    """Whatever the later trips lasted, what is learned before them is the same to the last bit."""
    seconds = trips.duration_s.copy()
    seconds[-HOLDOUT:] = 7000.0
    changed = replace(trips, duration_s=seconds)
    one, other = (
        teach(of, background(of), SMALL, SETTINGS, holdout=HOLDOUT, seed=1, tick=lambda: None)
        for of in (trips, changed)
    )
    np.testing.assert_array_equal(one.lessons.earlier.duration_s, other.lessons.earlier.duration_s)
    np.testing.assert_array_equal(one.lessons.earlier.matrix, other.lessons.earlier.matrix)


def test_a_trips_label_is_not_of_a_teacher_that_saw_it(trips: TripVectors) -> None:
    """Change one record beyond recognition: the teacher's word about that very trip does not move."""
    expected_s = np.exp(trips.matrix[:, OFFSET_AT] + 0.4 * np.tanh(trips.matrix[:, 0]))
    row = int(np.flatnonzero(trips.duration_s < 0.8 * expected_s)[0])  # on the other side of the median afterwards
    seconds = trips.duration_s.copy()
    seconds[row] = 7100.0
    changed = replace(trips, duration_s=seconds)
    made = background(trips)  # what is around stays as it was: that it knows no label of its own is its own test
    one, other = (
        teach(of, made, SMALL, SETTINGS, holdout=HOLDOUT, seed=1, tick=lambda: None) for of in (trips, changed)
    )
    vectors = np.hstack([trips.matrix[[row]], np.zeros((1, MORE), np.float32)])
    fold = made.fold[[row]]
    assert one.teachers.predict(vectors, fold) == other.teachers.predict(vectors, fold)
    elsewhere = (fold + 1) % FOLDS
    assert one.teachers.predict(vectors, elsewhere) != other.teachers.predict(vectors, elsewhere)


def test_each_row_is_answered_by_its_own_fold(trips: TripVectors) -> None:
    """Also where a fold has no row."""
    made = background(trips)
    taught = teach(trips, made, SMALL, SETTINGS, holdout=HOLDOUT, seed=1, tick=lambda: None)
    rows = np.hstack([trips.matrix[:50], np.zeros((50, MORE), np.float32)])
    fold = np.arange(50) % 2
    found = predict_out_of_fold(taught.teachers.boosters, rows, fold)
    for number in (0, 1):
        alone = predict_out_of_fold(taught.teachers.boosters, rows[fold == number], np.full(25, number))
        np.testing.assert_array_equal(found[fold == number], alone)


def test_the_teachers_vector_tells_pairs_relative_to_the_offset() -> None:
    """Absent stays absent, counts stay counts, and a share of the rows may know nothing of others."""
    matrix = np.zeros((200, len(ETA_SCHEMA.names)), np.float32)
    matrix[:, OFFSET_AT] = 6.5
    around = np.full((MORE, 200), 0.25)
    found = with_hindsight(matrix, around, np.full(200, 6.0))
    names = [one.name for one in AFTERWARDS]
    assert found[0, len(ETA_SCHEMA.names) + names.index("after_pair_log_excess_7d")] == pytest.approx(-0.25)
    assert found[0, len(ETA_SCHEMA.names) + names.index("after_city_log_excess_15m")] == pytest.approx(0.25)
    masked = mask_hindsight(found, seed=0, share=0.5)
    gone = np.isnan(masked).any(axis=1)
    assert 0.3 < gone.mean() < 0.7
    assert (masked[gone, len(ETA_SCHEMA.names) + names.index("after_pair_count_7d")] == 0).all()
    np.testing.assert_array_equal(masked[~gone], found[~gone])


def candidate(mae_s: float) -> Candidate:
    """One that erred so much."""
    graph = constant_onnx(3, 100.0)
    zeros = np.zeros(1)
    return Candidate("tree", "tree", True, graph, OnnxModel(graph), lambda _: (zeros, zeros, zeros), mae_s)


@pytest.mark.parametrize(("after", "kept"), [(99.0, DISTILLED), (99.8, DISTILLED), (99.81, HARD), (101.0, HARD)])
def test_a_family_learns_from_teachers_where_that_is_better_by_the_margin(after: float, kept: str) -> None:
    """And from records where it is not; the other kind stays in the evidence under its name."""
    found = compare("tree", hard=[candidate(100.0)], distilled=[candidate(after)], margin=0.002)
    assert found.kept == kept
    assert found.other != kept
    assert table([found])["tree"]["serves"] == kept
