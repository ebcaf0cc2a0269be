"""Labels for a part of any number of requests, by the fold teachers of a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts.distance import haversine_m, typical_log_s
from contracts.hindsight import TripsAround
from contracts.local_time import Ints
from contracts.schema import Floats
from contracts.transforms import trip_vectors
from contracts.zones import Zones
from training.as_of import AsOf
from training.distill import FoldTeachers
from training.hindsight import with_hindsight
from training.labels import Labels, Repair, fold_of, is_mature, settle

_MICRO = 1_000_000


@dataclass(frozen=True)
class Asked:
    """Requests [n]: ids, zones by id, starts in µs, recorded seconds (NaN where there are none)."""

    ids: Sequence[str]
    pickup_zone: Sequence[str]
    dropoff_zone: Sequence[str]
    at_us: Ints
    recorded_s: Floats


@dataclass(frozen=True)
class Labelled:
    """Labels [n], the teacher's own seconds, the fold, and the newest snapshot that was read (µs, or 0)."""

    labels: Labels
    teacher_s: Floats
    fold: Ints
    snapshot_us: Ints


@dataclass(frozen=True)
class Labeller:
    """Everything that labelling a part needs; safe to share among threads.

    `now_s` is the moment up to which trips are known: what began too shortly before it is not mature.
    """

    zones: Zones
    as_of: AsOf
    around: TripsAround
    teachers: FoldTeachers
    now_s: float

    def label(self, asked: Asked, *, threads: int = 1) -> Labelled:
        """Label requests, each by the teacher that has not seen its id; raises NotFound for an unknown zone."""
        zones = self.zones
        pickup, dropoff = zones.positions(asked.pickup_zone), zones.positions(asked.dropoff_zone)
        columns, snapshot_us = self.as_of.look_up(pickup, dropoff, asked.at_us)
        at_s = asked.at_us / _MICRO
        matrix = trip_vectors(zones, pickup, dropoff, at_s, columns)
        del columns
        fold = fold_of(asked.ids, len(self.teachers.boosters))
        whole_s = np.floor_divide(asked.at_us, _MICRO)
        around = self.around.around(pickup, dropoff, whole_s, hidden=fold, own=None)
        distance_m = haversine_m(zones.lat[pickup], zones.lon[pickup], zones.lat[dropoff], zones.lon[dropoff])
        vectors = with_hindsight(matrix, around, typical_log_s(distance_m))
        teacher_s = self.teachers.predict(vectors, fold, threads=threads)
        labels = settle(
            asked.recorded_s,
            teacher_s,
            distance_m=distance_m,
            mature=is_mature(at_s, self.now_s),
            spread=self.teachers.spread,
            rule=Repair(),
        )
        return Labelled(labels, teacher_s, fold, snapshot_us)
