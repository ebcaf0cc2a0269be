"""From trips to what the compact models learn: repaired records, softened by a teacher, and queries that nobody made.

The teachers are one a fold, fitted on the trips before those held out alone. A trip's label comes from the teacher of
its own fold, which has seen neither its record nor a feature made of one of its fold; and no label of a trip before the
cut tells anything of those after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np

from contracts.distance import haversine_m, typical_log_s
from contracts.hindsight import Own, TripsAround
from contracts.local_time import Ints
from contracts.schema import Floats, Matrix
from contracts.zones import Zones
from training.export import Head
from training.hindsight import OFFSET_AT, mask_hindsight, with_hindsight
from training.labels import (
    TOO_LONG,
    TOO_SHORT,
    Flags,
    Labels,
    Queries,
    Repair,
    Spread,
    fit_spread,
    plausible,
    settle,
)
from training.settings import DistillSettings, TreeSettings
from training.student import Lessons
from training.trees import Examples, Tick, fit_trees
from training.trip_vectors import TripVectors

Neighbours = Callable[[Flags], TripsAround]
_NEUTRAL = Head(low_factor=1.0, high_factor=1.0, offset=OFFSET_AT)


@dataclass(frozen=True)
class Background:
    """What a teacher needs beside the vectors of the trips learned from [n].

    `neighbours` answers for some of the trips alone; `queries` are trips that nobody made, with their vectors.
    """

    started_s: Ints
    fold: Ints
    log_excess: Floats
    neighbours: Neighbours
    queries: Queries
    query_matrix: Matrix


@dataclass(frozen=True)
class FoldTeachers:
    """Ensembles by fold, over vectors of `TEACHER_SCHEMA`, and how far records usually lie from what they say."""

    boosters: tuple[lgb.Booster, ...]
    spread: Spread

    def predict(self, matrix: Matrix, fold: Ints, *, threads: int = 0) -> Floats:
        """Seconds [n], each by the teacher that has not seen its fold."""
        return predict_out_of_fold(self.boosters, matrix, fold, threads=threads)


@dataclass(frozen=True)
class Taught:
    """Lessons for the compact models, the teachers that made them, the labels of the trips, and figures of all that."""

    lessons: Lessons
    teachers: FoldTeachers
    labels: Labels
    figures: Mapping[str, float]


def predict_out_of_fold(boosters: tuple[lgb.Booster, ...], matrix: Matrix, fold: Ints, *, threads: int = 0) -> Floats:
    """Seconds [n] by the booster of each row's fold; `threads` 0 leaves their number to LightGBM."""
    seconds = np.empty(len(matrix))
    for number, booster in enumerate(boosters):
        here = np.flatnonzero(fold == number)
        if len(here):
            rows = matrix[here]
            seconds[here] = _NEUTRAL.eta_s(booster.predict(rows, num_threads=threads), rows)
    return seconds


def teach(
    trips: TripVectors,
    background: Background,
    teacher: TreeSettings,
    settings: DistillSettings,
    *,
    holdout: int,
    seed: int,
    tick: Tick,
) -> Taught:
    """Fit the fold teachers and let them label; `tick` is called after each of their trees."""
    n, cut = len(trips), len(trips) - holdout
    early = np.arange(n) < cut
    before, always = background.neighbours(early), background.neighbours(np.ones(n, dtype=np.bool_))
    typical = typical_log_s(trips.context.distance_m)
    own = Own(background.log_excess, background.fold)

    def seen(rows: Flags, around: TripsAround, hidden: Ints) -> Matrix:
        context = trips.context
        found = around.around(
            context.pickup[rows],
            context.dropoff[rows],
            background.started_s[rows],
            hidden=hidden[rows],
            own=Own(own.log_excess[rows], own.fold[rows]),
        )
        return with_hindsight(trips.matrix[rows], found, typical[rows])

    boosters = []
    for number in range(settings.folds):
        learned = early & (background.fold != number)
        vectors = seen(learned, before, np.full(n, number))
        masked = mask_hindsight(vectors, seed=seed, share=settings.masked)
        examples = Examples(masked, trips.duration_s[learned])
        boosters.append(fit_trees(examples, teacher, offset=OFFSET_AT, seed=seed, tick=tick))
    models = tuple(boosters)
    teacher_s = np.empty(n)
    for rows, around in ((early, before), (~early, always)):
        teacher_s[rows] = predict_out_of_fold(models, seen(rows, around, background.fold), background.fold[rows])
    rule = Repair()
    measured = early & plausible(trips.duration_s, trips.context.distance_m)
    spread = fit_spread(trips.duration_s[measured], teacher_s[measured], rule)
    labels = settle(
        trips.duration_s,
        teacher_s,
        distance_m=trips.context.distance_m,
        mature=np.ones(n, dtype=np.bool_),
        spread=spread,
        rule=rule,
    )
    soft_s = np.exp((1.0 - settings.share) * np.log(labels.seconds) + settings.share * np.log(teacher_s))
    cut_s = int(background.started_s[cut]) if holdout else int(background.started_s[-1]) + 1
    query_s = _label_queries(background, models, trips.zones, cut_s=cut_s, before=before, always=always)
    early_query = background.queries.at_s < cut_s
    trip_rows, query_rows = Examples(trips.matrix, soft_s), Examples(background.query_matrix, query_s)
    lessons = Lessons(_joined(_some(trip_rows, early), _some(query_rows, early_query)), _joined(trip_rows, query_rows))
    figures = {
        "folds": float(settings.folds),
        "queries": float(len(query_rows)),
        "quarantined_share": float(labels.quarantined.mean()),
        "repaired_share": float((labels.doubt > 0.0).mean()),
        "too_short_share": float((labels.quarantined & (labels.reason == TOO_SHORT)).mean()),
        "too_long_share": float((labels.quarantined & (labels.reason == TOO_LONG)).mean()),
        "out_of_fold_mae_s": float(np.abs(teacher_s - trips.duration_s)[early].mean()),
        "holdout_mae_s": float(np.abs(teacher_s - trips.duration_s)[~early].mean()) if holdout else float("nan"),
    }
    return Taught(lessons, FoldTeachers(models, spread), labels, figures)


def _label_queries(
    background: Background,
    models: tuple[lgb.Booster, ...],
    zones: Zones,
    *,
    cut_s: int,
    before: TripsAround,
    always: TripsAround,
) -> Floats:
    """Seconds [m] of queries, by the teachers in turn; those before the cut know no trip after it."""
    queries = background.queries
    fold = np.arange(len(queries.at_s)) % len(models)
    start, end = queries.pickup, queries.dropoff
    typical = typical_log_s(haversine_m(zones.lat[start], zones.lon[start], zones.lat[end], zones.lon[end]))
    seconds = np.empty(len(fold))
    early = queries.at_s < cut_s
    for rows, around in ((early, before), (~early, always)):
        found = around.around(start[rows], end[rows], queries.at_s[rows], hidden=fold[rows], own=None)
        vectors = with_hindsight(background.query_matrix[rows], found, typical[rows])
        seconds[rows] = predict_out_of_fold(models, vectors, fold[rows])
    return seconds


def _some(examples: Examples, which: Flags) -> Examples:
    return Examples(examples.matrix[which], examples.duration_s[which])


def _joined(trips: Examples, queries: Examples) -> Examples:
    return Examples(
        np.concatenate([trips.matrix, queries.matrix]), np.concatenate([trips.duration_s, queries.duration_s])
    )
