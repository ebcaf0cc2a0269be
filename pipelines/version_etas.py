"""A published version's times for the simulated city, by the very code that serves them, and its teacher's.

Statistics of pairs and hours come from the home's feature tables. Live windows are absent: the simulated day has no
stream of its own, and the models have seen trips without one. So what a stream adds is not in these figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from adapters.artifact_store import ArtifactStore
from adapters.online_store import RowLayout
from adapters.onnx_session import Seconds
from contracts.dispatch import EtaSource
from contracts.errors import DataRefused, NotFound
from contracts.features import ETA_SCHEMA, LOOKUPS, OFFSET, STATISTICS_TTL_S, VIEWS
from contracts.schema import Floats, Matrix
from contracts.zones import Positions
from pipelines.layout import MODEL, Layout
from pipelines.materialize import tables
from pipelines.trips import read_trips
from serving.artifacts import LoadedModel, load_artifact
from serving.cache import Key
from serving.cached_rows import Found
from serving.features import FeatureReader, LookedUp
from serving.point_etas import PairEtas, PointEtas
from serving.trips import CityTrips
from serving.zone_etas import ZoneEtas
from simulation.city import City
from training.dataset import EVENT_TIME, mask_live, point_in_time_join, trip_matrix
from training.settings import TrainingSettings
from training.teacher import Teacher, fit_teacher
from training.trees import Examples

SLOT_S: Final = 300.0
"""Times between zones are asked for once in so many simulated seconds: what they are made of changes hardly faster."""


def version_etas(home: Path, city: City, version: int, *, teacher: bool) -> dict[str, EtaSource]:
    """The student of a published version, and the teacher, fitted anew on the home's trips, where it is asked for.

    Raises NotFound for a version or table that is not there, DataRefused where the version is of another city.
    """
    layout = Layout(home)
    model = load_artifact(ArtifactStore(layout.artifacts).read(MODEL, version))
    if model.zones.ids != city.zones.ids:
        raise DataRefused(model.name, f"has {len(model.zones.ids)} zones, which are not the simulated city's")
    reader = FeatureReader(TableRows(home), VIEWS, LOOKUPS, future_skew_s=0.0)

    def look(keys: Mapping[str, Sequence[str]], at: Floats) -> LookedUp:
        return reader.columns(reader.begin(keys), at, float(at[0]))

    def source(one: LoadedModel) -> EtaSource:
        return PointEtas(Slotted(ZoneEtas(one, CityTrips(), look), len(city.zones.ids)), one.spread)

    sources = {"student": source(model)}
    if teacher:
        sources["teacher"] = source(replace(model, matrix=Teaching(_fitted(layout, model))))
    return sources


class TableRows:
    """The statistics' last rows, from the feature tables, as the online store would have them."""

    def __init__(self, home: Path) -> None:
        layout = RowLayout(VIEWS)
        self._width = max(layout.widths.values())
        self._rows: dict[Key, Floats] = {}
        for table in tables(home):
            view = table.view
            if view.ttl_s < STATISTICS_TTL_S:
                continue
            if not table.path.is_file():
                raise NotFound("feature table", str(table.path), "`tandem train` builds the features")
            last = pd.read_parquet(table.path).sort_values(EVENT_TIME).drop_duplicates(view.entity, keep="last")
            start = layout.offsets[view.name]
            values = last[list(view.features)].to_numpy(dtype=np.float64)
            for key, of in zip(last[view.entity], values, strict=True):
                row = self._rows.setdefault((view.entity, key), np.full(self._width, np.nan))
                row[start : start + 1 + len(of)] = (0.0, *of)  # known since ever: the simulated day is no day of theirs

    def lookup(self, keys: Sequence[Key]) -> Found:
        """See features.Rows; nothing is ever missing."""
        absent = np.full(self._width, np.nan)
        return Found(np.array([self._rows.get(key, absent) for key in keys]), [])

    async def fetch(self, keys: Sequence[Key], found: Found, within_s: float = np.inf) -> Floats:  # noqa: ARG002 - Rows
        """See features.Rows."""
        return found.rows


@dataclass
class Slotted:
    """Times between all pairs of zones, kept for as long as a slot lasts: a day asks for them a hundred thousand times."""

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
