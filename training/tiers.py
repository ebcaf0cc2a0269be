"""Everything that is fitted on the same trips and judged side by side: baselines, teacher, student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import lightgbm as lgb
import numpy as np

from adapters.onnx_session import OnnxModel
from contracts.features import ETA_SCHEMA, OFFSET
from contracts.heuristic import PairMedian, haversine_eta
from contracts.schema import Matrix
from training.baselines import fit_pair_median
from training.context import plain_matrix
from training.distill import Background, FoldTeachers, teach
from training.distilled import DISTILLED, Comparison, compare
from training.encoding import columns_of
from training.evaluate import Estimates
from training.export import Head
from training.frontier import Figures, choose_for_many, choose_for_one, measure
from training.settings import TrainingSettings
from training.student import Student
from training.students import NET, TREE, Candidate, Nets, Trees
from training.teacher import Teacher, fit_teacher
from training.trees import Examples, Tick, fit_trees
from training.trip_vectors import TripVectors

BASELINE = "pair_median"
Stage = Callable[[str], None]


@dataclass(frozen=True)
class Tiers:
    """All that is fitted: the candidates for serving with their figures, and who won each use.

    `rivals` learned from the other labels than the candidates of their family, and lost; `distillation` is the
    comparison by family, `labels` tells of the labels that the `fold_teachers` made.
    """

    heuristic: PairMedian
    zones_only: lgb.Booster
    teacher: Teacher
    tree: Student
    candidates: tuple[Candidate, ...]
    figures: tuple[Figures, ...]
    rivals: tuple[Candidate, ...] = ()
    distillation: tuple[Comparison, ...] = ()
    fold_teachers: FoldTeachers | None = None
    labels: Mapping[str, float] = field(default_factory=dict)

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
            **{one.name: answers(one.served, trips.matrix) for one in (*self.candidates, *self.rivals)},
        }


def fit_tiers(
    trips: TripVectors, settings: TrainingSettings, *, background: Background | None = None, stage: Stage, tick: Tick
) -> Tiers:
    """Fit all of it on all of the trips; `stage` hears what begins, `tick` of every tree and epoch.

    With a background, each family is fitted a second time, with the same seed, on what fold teachers made of the trips.
    """
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
    holdout, taught = round(settings.holdout_share * len(trips)), None
    if background is not None:
        stage("fold teachers")
        taught = teach(trips, background, settings.teacher, settings.distill, holdout=holdout, seed=seed, tick=tick)
    kept, rivals, distillation = list[Candidate](), list[Candidate](), list[Comparison]()
    student: Student | None = None
    for name, family in ((TREE, trees), (NET, nets)):
        stage(f"{name} student")
        candidates = family.fit(examples, holdout=holdout, seed=seed, tick=tick)
        fitted = trees.student
        if taught is not None:
            stage(f"{name} student, distilled")
            distilled = family.fit(examples, holdout=holdout, seed=seed, tick=tick, lessons=taught.lessons)
            comparison = compare(name, hard=candidates, distilled=distilled, margin=settings.distill.margin)
            distillation.append(comparison)
            if comparison.kept == DISTILLED:
                candidates, distilled, fitted = distilled, candidates, trees.student
            rivals += [replace(one, name=f"{one.name}_{comparison.other}") for one in distilled]
        kept += candidates
        student = student or fitted
    if student is None:
        raise AssertionError("fitted, and yet not there")
    return Tiers(
        heuristic=heuristic,
        zones_only=zones_only,
        teacher=teacher,
        tree=student,
        candidates=tuple(kept),
        figures=tuple(measure(kept, trips.matrix)),
        rivals=tuple(rivals),
        distillation=tuple(distillation),
        fold_teachers=taught.teachers if taught else None,  # without the lessons, which are as large as the trips
        labels=dict(taught.figures) if taught else {},
    )


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
