"""`tandem label`: labels for any number of requests by a version's fold teachers, in parts that outlive a kill."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from adapters.label_parts import opened, part_name
from adapters.requests_file import RequestsFile
from adapters.tables import read_zones
from contracts.errors import DataRefused, InvalidInput, NotFound
from contracts.teacher import TeacherManifest
from feature_repo.hindsight import Neighbours
from model_registry.store import CHAMPION, ModelStore
from pipelines.background import known_trips
from pipelines.label_table import count_labels, label_table, with_lineage
from pipelines.layout import MODEL, Layout
from pipelines.lineage import git_revision, hashes
from pipelines.materialize import BUILT_FROM, tables
from pipelines.trips import read_trips
from training.as_of import AsOf
from training.dataset import epoch_s
from training.distill import FoldTeachers
from training.labelling import Asked, Labeller
from training.scale import on_ray, on_threads
from training.teacher_files import read_teachers

PART_ROWS: Final = 65_536
THREADS: Final = "threads"
ENGINES: Final = {THREADS: on_threads, "ray": on_ray}


def label(
    home: Path,
    requests: Path,
    out: Path,
    *,
    version: int | None = None,
    part_rows: int = PART_ROWS,
    workers: int | None = None,
    engine: str = THREADS,
    progress: bool = False,
) -> dict[str, Any]:
    """Label every request of a file; run again after a kill, it goes on where it was.

    Args:
        home: TANDEM_HOME, whose trips are what the teachers may look at.
        requests: Parquet of requests or of trips (`adapters.requests_file`).
        out: a folder for the parts; of these very labels, or empty.
        version: whose teachers; the champion's where none is given.
        part_rows: requests a part; memory grows with it, and with the workers.
        workers: threads or Ray's workers; one a processor where none is given.
        engine: "threads" of this process, or "ray": Ray Data, on the cluster at RAY_ADDRESS or on this machine.
        progress: whether to draw a progress bar on stderr.

    Raises:
        NotFound: no such version, file or zone, or a version without teachers.
        DataRefused: the folder holds other labels; the features are not those of the home's trips; the teacher's city
            is another.
        ArtifactInvalid: the teachers' files are not what their manifest says.

    """
    if part_rows < 1:
        raise InvalidInput("part_rows", f"{part_rows}, expected at least 1")
    if engine not in ENGINES:
        raise InvalidInput("engine", f"{engine!r}, expected one of {', '.join(ENGINES)}")
    began, layout, asked = time.monotonic(), Layout(home), RequestsFile(requests)
    with tempfile.TemporaryDirectory() as folder:
        registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
        number = version or _champion(registry)
        manifest, teachers = read_teachers(registry.fetch_teacher(MODEL, number, Path(folder)))
    data = _built_from(layout)
    _check_city(manifest, data, layout)
    plan = {
        "requests": hashes([requests])[requests.name],
        "rows": asked.rows,
        "part_rows": part_rows,
        "teacher": manifest.name,
        "teacher_files": manifest.files,
        "data": data,
    }
    with opened(out, plan) as parts:
        pending = [part for part in range(-(-asked.rows // part_rows)) if part not in parts.done]
        resumed, left = len(parts.done), sum(asked.rows_from(part * part_rows, part_rows) for part in pending)
        bar = tqdm(
            total=asked.rows,
            initial=asked.rows - left,
            desc="label",
            unit=" rows",
            disable=not progress,
            file=sys.stderr,
        )
        with bar:
            if pending:
                job = _Job(_labeller(layout, asked, teachers), asked, part_rows)
                if _built_from(layout) != data:
                    raise DataRefused(str(layout.features), "were built anew while they were read; run this again")
                processors = workers or len(os.sched_getaffinity(0))
                for part, table in ENGINES[engine](job, pending, workers=processors):
                    expected = min(part_rows, asked.rows - part * part_rows)
                    if table.num_rows != expected:  # Ray cuts what is too large for one of its blocks
                        words = (
                            f"has {table.num_rows} rows of part {part}, {expected} are wanted; try fewer --part-rows"
                        )
                        raise DataRefused(f"engine {engine}", words)
                    parts.write(part, with_lineage(table, {**plan, "part": part}))
                    bar.update(table.num_rows)
        counted = count_labels(out / part_name(part) for part in sorted(parts.done))
        lineage = {**plan, "git_revision": git_revision(), "trained": manifest.lineage.train_span, **counted}
        parts.finish({**lineage, "created_at": datetime.now(UTC).isoformat(timespec="seconds")})
    seconds = round(time.monotonic() - began, 1)
    return {
        "teacher": manifest.name,
        "out": str(out),
        "rows": asked.rows,
        "parts": len(parts.done),
        "parts_resumed": resumed,
        **counted,
        "seconds": seconds,
    }


def _champion(registry: ModelStore) -> int:
    version = registry.aliases(MODEL).get(CHAMPION)
    if version is None:
        raise NotFound("champion of", MODEL, "`tandem train` makes one; --version names another")
    return version


def _built_from(layout: Layout) -> dict[str, str]:
    """Hashes of the home's trips and zones; raises where its features were built from others, or never."""
    record = layout.features / BUILT_FROM
    for file in (layout.trips, layout.zones, record):
        if not file.is_file():
            raise NotFound("file", str(file), "`tandem train` builds the features of the home's trips")
    found, expected = json.loads(record.read_text()), hashes([layout.trips, layout.zones])
    if found != expected:
        wrong = next(name for name in expected if found.get(name) != expected[name])
        detail = f"built from {wrong} with SHA-256 {found.get(wrong)}, the home's has {expected[wrong]}"
        raise DataRefused(str(layout.features), f"{detail}; `tandem train` builds them anew")
    return expected


def _check_city(manifest: TeacherManifest, data: Mapping[str, str], layout: Layout) -> None:
    found, expected = data[layout.zones.name], manifest.lineage.data_hashes.get(layout.zones.name)
    if found != expected:
        detail = f"has SHA-256 {found}, {manifest.name} was trained for {expected}"
        raise DataRefused(str(layout.zones), f"{detail}; bring its city back with `tandem data`")


def _labeller(layout: Layout, asked: RequestsFile, teachers: FoldTeachers) -> Labeller:
    zones, trips = read_zones(layout.zones), read_trips(layout.trips)
    first_us, last_us = asked.span_us
    now_s = float(epoch_s(trips["dropoff_at"]).max())
    folds = len(teachers.boosters)
    return Labeller(
        zones=zones,
        as_of=AsOf(tables(layout.home), zones, first_us=first_us, last_us=last_us),
        around=Neighbours(known_trips(trips, zones, folds), folds=folds, zones=len(zones.ids)),
        teachers=teachers,
        now_s=now_s,
    )


@dataclass(frozen=True)
class _Job:
    """Labels one part of the requests; what all of them have in common."""

    labeller: Labeller
    requests: RequestsFile
    part_rows: int

    def __call__(self, part: int) -> Any:
        """A part's table."""
        rows = self.requests.read(part * self.part_rows, self.part_rows)
        asked = Asked(rows.ids, rows.pickup_zone, rows.dropoff_zone, rows.at_us, rows.recorded_s)
        return label_table(asked, self.labeller.label(asked))
