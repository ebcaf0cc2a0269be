"""Everything that is fitted on the same trips and judged side by side: baselines, teacher, student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from adapters.onnx_session import OnnxModel
from contracts.heuristic import PairMedian, haversine_eta
from contracts.schema import Floats, Matrix
from contracts.zones import Zones
from training.baselines import fit_pair_median
from training.context import TripContext, plain_matrix
from training.evaluate import Estimates
from training.export import Head, eta_graph, tree_node
from training.settings import TrainingSettings
from training.student import Student, fit_student
from training.teacher import Teacher, fit_teacher
from training.trees import Examples, Tick, fit_trees

BASELINE = "pair_median"
Stage = Callable[[str], None]


@dataclass(frozen=True)
class TripVectors:
    """Trips [n] in the order of time: what their requests tell, their vectors float32 [n, F], their durations."""

    zones: Zones
    context: TripContext
    matrix: Matrix
    duration_s: Floats

    def __len__(self) -> int:
        return len(self.duration_s)

    def rows(self, which: npt.NDArray[np.bool_]) -> TripVectors:
        """Some of the trips."""
        return TripVectors(self.zones, self.context.rows(which), self.matrix[which], self.duration_s[which])


@dataclass(frozen=True)
class Tiers:
    """All that is fitted, and the student as it is served."""

    heuristic: PairMedian
    zones_only: lgb.Booster
    teacher: Teacher
    student: Student
    graph: bytes
    served: OnnxModel

    def estimate(self, trips: TripVectors) -> dict[str, Estimates]:
        """Answers [n] by model; the student's are those of the exported graph."""
        plain = self.zones_only.predict(plain_matrix(trips.context, trips.zones))
        return {
            **estimate_served(self.served, self.heuristic, trips),
            "zones_only": Estimates(Head(low_factor=1.0, high_factor=1.0).eta_s(plain, trips.matrix)),
            "teacher": Estimates(self.teacher.predict(trips.matrix)),
        }


def fit_tiers(trips: TripVectors, settings: TrainingSettings, *, offset: int | None, stage: Stage, tick: Tick) -> Tiers:
    """Fit all of it on all of the trips; `stage` hears what begins, `tick` of every tree."""
    context, seed = trips.context, settings.seed
    examples = Examples(trips.matrix, trips.duration_s)
    heuristic = fit_pair_median(context.pairs, context.distance_m, context.hour, trips.duration_s)
    stage("zones, calendar and distance alone")
    bare = Examples(plain_matrix(context, trips.zones), trips.duration_s)
    zones_only = fit_trees(bare, settings.zones_only, offset=None, seed=seed, tick=tick)
    stage("teacher")
    teacher = fit_teacher(examples, settings.teacher, offset=offset, seed=seed, tick=tick)
    stage("student")
    holdout = round(settings.holdout_share * len(trips))
    student = fit_student(examples, settings.student, offset=offset, holdout=holdout, seed=seed, tick=tick)
    graph = eta_graph(tree_node(student.booster), trips.matrix.shape[1], student.head)
    return Tiers(heuristic, zones_only, teacher, student, graph, OnnxModel(graph))


def estimate_served(served: OnnxModel, heuristic: PairMedian, trips: TripVectors) -> dict[str, Estimates]:
    """Answers [n] of what an artifact holds: the exported student, and the heuristic in both of its forms."""
    context = trips.context
    pair_median = heuristic.predict(context.pairs, context.distance_m, context.hour)
    student = [seconds.astype(np.float64) for seconds in served.run(trips.matrix)]
    return {
        "haversine": Estimates(haversine_eta(context.distance_m, context.hour, heuristic.speed_mps)),
        BASELINE: Estimates(pair_median, *heuristic.interval(pair_median)),
        "student": Estimates(*student),
    }
