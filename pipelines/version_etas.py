"""A published version's times for simulated days, by the very code that serves them, and its teacher's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from adapters.artifact_store import ArtifactStore
from adapters.onnx_session import Seconds
from contracts.dispatch import EtaSource
from contracts.errors import DataRefused
from contracts.features import ETA_SCHEMA, LOOKUPS, OFFSET, VIEWS
from contracts.schema import Floats, Matrix
from contracts.zones import Positions
from pipelines.day_rows import DayRows, live_windows, statistics_of
from pipelines.layout import MODEL, Layout
from pipelines.materialize import tables
from pipelines.trips import read_trips
from serving.artifacts import LoadedModel, load_artifact
from serving.features import FeatureReader, LookedUp
from serving.point_etas import PairEtas, PointEtas
from serving.trips import CityTrips
from serving.zone_etas import ZoneEtas
from simulation.city import City
from simulation.world import World
from training.dataset import mask_live, point_in_time_join, trip_matrix
from training.settings import TrainingSettings
from training.teacher import Teacher, fit_teacher
from training.trees import Examples

SLOT_S: Final = 300.0
"""Times between zones are asked for once in so many simulated seconds: what they are made of changes hardly faster."""


def version_etas(home: Path, city: City, version: int, *, teacher: bool) -> Callable[[World], Mapping[str, EtaSource]]:
    """What gives, for a day, the student's times and, where asked for, those of the teacher.

    The teacher is fitted anew on the home's trips. Raises NotFound for a version or table that is not there,
    DataRefused where the version is of another city.
    """
    layout = Layout(home)
    model = load_artifact(ArtifactStore(layout.artifacts).read(MODEL, version))
    if model.zones.ids != city.zones.ids:
        raise DataRefused(model.name, f"has {len(model.zones.ids)} zones, which are not the simulated city's")
    statistics, models = statistics_of(home), {"student": model}
    if teacher:
        models["teacher"] = replace(model, matrix=Teaching(_fitted(layout, model)))

    def of_day(world: World) -> Mapping[str, EtaSource]:
        rows = DayRows(statistics, live_windows(world, model.zones, statistics))
        reader = FeatureReader(rows, VIEWS, LOOKUPS, future_skew_s=0.0)

        def look(keys: Mapping[str, Sequence[str]], at: Floats) -> LookedUp:
            rows.now = float(at[0])
            return reader.columns(reader.begin(keys), at, rows.now)

        return {
            name: PointEtas(Slotted(ZoneEtas(one, CityTrips(), look), len(city.zones.ids)), one.spread)
            for name, one in models.items()
        }

    return of_day


@dataclass
class Slotted:
    """Times between all pairs of zones, kept as long as a slot lasts: a day asks for them a hundred thousand times."""

    pairs: PairEtas
    zones: int
    slot_s: float = SLOT_S
    _tables: dict[float, Floats] = field(default_factory=dict)

    def seconds(self, pickup: Positions, dropoff: Positions, at: float) -> Floats:
        """See PairEtas."""
        slot = at // self.slot_s * self.slot_s
        table = self._tables.get(slot)
        if table is None:
            every = np.arange(self.zones)
            origin, destination = np.repeat(every, self.zones), np.tile(every, self.zones)
            table = self.pairs.seconds(origin, destination, slot).reshape(self.zones, self.zones)
            self._tables[slot] = table
        seconds: Floats = table[pickup, dropoff]
        return seconds


@dataclass(frozen=True)
class Teaching:
    """A teacher where the student's graph stands."""

    teacher: Teacher

    def run(self, matrix: Matrix) -> tuple[Seconds, Seconds, Seconds]:
        """Seconds [n], three times: a teacher has no range."""
        seconds = self.teacher.predict(matrix).astype(np.float32)
        return seconds, seconds, seconds


def _fitted(layout: Layout, model: LoadedModel) -> Teacher:
    """The teacher of the home's trips, with live values masked in a share of them, as in training."""
    trips, settings = read_trips(layout.trips), TrainingSettings()
    looked_up = mask_live(point_in_time_join(trips, tables(layout.home)), seed=settings.seed)
    examples = Examples(trip_matrix(trips, looked_up, model.zones), trips["duration_s"].to_numpy())
    return fit_teacher(examples, settings.teacher, offset=ETA_SCHEMA.names.index(OFFSET), seed=settings.seed)
