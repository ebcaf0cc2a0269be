"""`tandem label`: labels for any number of requests by a version's fold teachers, in parts that outlive a kill."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from adapters.label_parts import LabelParts, opened, part_name
from adapters.requests_file import RequestsFile
from adapters.tables import read_zones
from contracts.errors import DataRefused, InvalidInput, NotFound
from contracts.hindsight import AROUND_S
from contracts.teacher import TeacherManifest
from feature_repo.hindsight import Neighbours
from model_registry.store import CHAMPION, ModelStore
from pipelines.background import known_trips
from pipelines.label_table import label_table
from pipelines.layout import MODEL, Layout
from pipelines.lineage import git_revision, hashes
from pipelines.materialize import BUILT_FROM, tables
from pipelines.trips import read_trips
from training.as_of import AsOf
from training.dataset import epoch_s
from training.distill import FoldTeachers
from training.labelling import Asked, Labeller
from training.labels import BLEND, SOURCES, TEACHER
from training.teacher_files import read_teachers

PART_ROWS: Final = 65_536
_MICRO: Final = 1_000_000
_MOSTLY: Final = 0.5


def label(
    home: Path,
    requests: Path,
    out: Path,
    *,
    version: int | None = None,
    part_rows: int = PART_ROWS,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Label every request of a file; run again after a kill, it goes on where it was.

    Args:
        home: TANDEM_HOME, whose trips are what the teachers may look at.
        requests: Parquet of requests or of trips (`adapters.requests_file`).
        out: a folder for the parts; of these very labels, or empty.
        version: whose teachers; the champion's where none is given.
        part_rows: requests a part; memory grows with it, and with the workers.
        workers: threads; one a processor where none is given.
        progress: whether to draw a progress bar on stderr.

    Raises:
        NotFound: no such version, file or zone, or a version without teachers.
        DataRefused: the folder holds other labels; the features are not those of the home's trips; the teacher's city
            is another.
        ArtifactInvalid: the teachers' files are not what their manifest says.

    """
    if part_rows < 1:
        raise InvalidInput("part_rows", f"{part_rows}, expected at least 1")
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
        resumed, before = (
            len(parts.done),
            asked.rows - sum(asked.rows_from(part * part_rows, part_rows) for part in pending),
        )
        with tqdm(
            total=asked.rows, initial=before, desc="label", unit=" rows", disable=not progress, file=sys.stderr
        ) as bar:
            if pending:
                job = _Job(_labeller(layout, asked, teachers), asked, part_rows, plan)
                for rows in _work(job, parts, pending, workers=workers or len(os.sched_getaffinity(0))):
                    bar.update(rows)
        counted = _count(out, parts)
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
    started_s = epoch_s(trips["pickup_at"])
    reach_s = max(AROUND_S.values()) + 1
    near = (started_s >= first_us / _MICRO - reach_s) & (started_s <= last_us / _MICRO + reach_s)
    folds = len(teachers.boosters)
    return Labeller(
        zones=zones,
        as_of=AsOf(tables(layout.home), zones, first_us=first_us, last_us=last_us),
        around=Neighbours(known_trips(trips[near], zones, folds), folds=folds, zones=len(zones.ids)),
        teachers=teachers,
        now_s=now_s,
    )


@dataclass(frozen=True)
class _Job:
    """What all parts have in common."""

    labeller: Labeller
    requests: RequestsFile
    part_rows: int
    lineage: Mapping[str, Any]

    def table(self, part: int) -> Any:
        rows = self.requests.read(part * self.part_rows, self.part_rows)
        asked = Asked(rows.ids, rows.pickup_zone, rows.dropoff_zone, rows.at_us, rows.recorded_s)
        return label_table(asked, self.labeller.label(asked), {**self.lineage, "part": part})


def _work(job: _Job, parts: LabelParts, pending: Iterable[int], *, workers: int) -> Iterator[int]:
    """Label parts on threads, which LightGBM and numpy let run side by side, and write them as they come; gives rows.

    As many parts are under way as there are threads, and one more, so that memory does not grow with the requests.
    """
    waiting = iter(pending)
    with ThreadPoolExecutor(workers) as pool:
        under_way = {pool.submit(job.table, part): part for part in islice(waiting, workers + 1)}
        try:
            while under_way:
                for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                    table, part = done.result(), under_way.pop(done)
                    under_way.update({pool.submit(job.table, other): other for other in islice(waiting, 1)})
                    parts.write(part, table)
                    yield table.num_rows
        finally:
            for one in under_way:
                one.cancel()


def _count(out: Path, parts: LabelParts) -> dict[str, Any]:
    """Labels by source, and those quarantined by reason, read a part at a time."""
    sources, reasons = Counter[str](), Counter[str]()
    for part in sorted(parts.done):
        table = pq.read_table(out / part_name(part), columns=["source", "reason", "doubt"])
        sources.update({row["values"]: row["counts"] for row in pc.value_counts(table["source"]).to_pylist()})
        recorded = pc.is_in(table["source"], pa.array([BLEND, TEACHER]))
        aside = table.filter(pc.and_(recorded, pc.greater(table["doubt"], _MOSTLY)))
        reasons.update({row["values"]: row["counts"] for row in pc.value_counts(aside["reason"]).to_pylist()})
    return {
        "labels": {one: sources[one] for one in SOURCES if sources[one]},
        "quarantined": dict(sorted(reasons.items())),
    }
