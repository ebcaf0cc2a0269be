"""Everything that is fitted on the same trips and judged side by side: baselines, teacher, student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from adapters.onnx_session import OnnxModel
from contracts.features import ETA_SCHEMA, OFFSET
from contracts.heuristic import PairMedian, haversine_eta
from contracts.schema import Floats, Matrix
from contracts.zones import Zones
from training.baselines import fit_pair_median
from training.context import TripContext, plain_matrix
from training.encoding import columns_of
from training.evaluate import Estimates
from training.export import Head
from training.frontier import Figures, choose_for_many, choose_for_one, measure
from training.settings import TrainingSettings
from training.student import Student
from training.students import Candidate, Nets, Trees
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
    """All that is fitted: the candidates for serving with their figures, and who won each use."""

    heuristic: PairMedian
    zones_only: lgb.Booster
    teacher: Teacher
    tree: Student
    candidates: tuple[Candidate, ...]
    figures: tuple[Figures, ...]

    @property
    def for_one(self) -> Candidate:
        """The winner for one trip at a time, called the student."""
        return self._named(choose_for_one(self.figures))

    @property
    def for_many(self) -> Candidate:
        """The winner for hundreds of trips at a time."""
        return self._named(choose_for_many(self.figures))

    def _named(self, name: str) -> Candidate:
        return next(one for one in self.candidates if one.name == name)

    def estimate(self, trips: TripVectors) -> dict[str, Estimates]:
        """Answers [n] by model; those of the candidates, and so of the student, come from their exported graphs."""
        plain = self.zones_only.predict(plain_matrix(trips.context, trips.zones))
        return {
            **estimate_served(self.for_one.served, self.heuristic, trips),
            "zones_only": Estimates(Head(low_factor=1.0, high_factor=1.0).eta_s(plain, trips.matrix)),
            "teacher": Estimates(self.teacher.predict(trips.matrix)),
            **{one.name: answers(one.served, trips.matrix) for one in self.candidates},
        }


def fit_tiers(trips: TripVectors, settings: TrainingSettings, *, stage: Stage, tick: Tick) -> Tiers:
    """Fit all of it on all of the trips; `stage` hears what begins, `tick` of every tree and epoch."""
    context, seed = trips.context, settings.seed
    examples = Examples(trips.matrix, trips.duration_s)
    heuristic = fit_pair_median(context.pairs, context.distance_m, context.hour, trips.duration_s)
    stage("zones, calendar and distance alone")
    bare = Examples(plain_matrix(context, trips.zones), trips.duration_s)
    zones_only = fit_trees(bare, settings.zones_only, offset=None, seed=seed, tick=tick)
    offset = ETA_SCHEMA.names.index(OFFSET)
    stage("teacher")
    teacher = fit_teacher(examples, settings.teacher, offset=offset, seed=seed, tick=tick)
    columns = columns_of(ETA_SCHEMA, offset=OFFSET)
    schema_hash = ETA_SCHEMA.schema_hash()
    trees = Trees(settings.student, offset, schema_hash)
    nets = Nets(settings.net, columns, (trips.zones.lat, trips.zones.lon), schema_hash)
    holdout, candidates = round(settings.holdout_share * len(trips)), list[Candidate]()
    for name, family in (("tree student", trees), ("net student", nets)):
        stage(name)
        candidates += family.fit(examples, holdout=holdout, seed=seed, tick=tick)
    if trees.student is None:
        raise AssertionError("fitted, and yet not there")
    figures = tuple(measure(candidates, trips.matrix))
    return Tiers(heuristic, zones_only, teacher, trees.student, tuple(candidates), figures)


def answers(model: OnnxModel, matrix: Matrix) -> Estimates:
    """What an exported model answers [n]."""
    return Estimates(*(seconds.astype(np.float64) for seconds in model.run(matrix)))


def estimate_served(served: OnnxModel, heuristic: PairMedian, trips: TripVectors) -> dict[str, Estimates]:
    """Answers [n] of what an artifact holds: the exported student, and the heuristic in both of its forms."""
    context = trips.context
    pair_median = heuristic.predict(context.pairs, context.distance_m, context.hour)
    return {
        "haversine": Estimates(haversine_eta(context.distance_m, context.hour, heuristic.speed_mps)),
        BASELINE: Estimates(pair_median, *heuristic.interval(pair_median)),
        "student": answers(served, trips.matrix),
    }
