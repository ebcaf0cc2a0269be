"""Labels as Parquet parts in a folder that a killed run can go on with: no row twice, none missing.

A part is a fixed range of the requests' rows. It appears whole, under its own name, and only then in the journal with
its hash; whatever else lies there after a SIGKILL is done again, to the same bytes. The plan says what the parts are
made of: a folder of another plan is refused, not mixed with.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from adapters.durable import sync
from adapters.trips_file import file_sha256
from contracts.errors import DataRefused

PLAN: Final = "plan.json"
JOURNAL: Final = "journal.jsonl"
LINEAGE: Final = "lineage.json"
_LOCK: Final = ".lock"


def part_name(part: int) -> str:
    """File name of a part."""
    return f"part-{part:06d}.parquet"


class LabelParts:
    """The parts of one plan below a folder; use within `opened`, which keeps other runs out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done = dict(self._read_journal())

    @property
    def done(self) -> frozenset[int]:
        """Parts that are whole, as their hashes say."""
        return frozenset(self._done)

    def write(self, part: int, table: Any) -> None:
        """Write a part to disk, show it under its name, then say so in the journal. Any thread may, one at a time."""
        path = self._folder / part_name(part)
        partial = path.with_name(f".{path.name}.partial")
        pq.write_table(table, partial, compression="zstd")
        digest = file_sha256(partial)
        sync(partial)
        partial.replace(path)
        sync(self._folder)
        line = json.dumps({"part": part, "rows": table.num_rows, "sha256": digest})
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(line + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._done[part] = digest

    def finish(self, lineage: Mapping[str, Any]) -> Path:
        """Say that all parts are there, and what of; the file that whoever reads the labels waits for."""
        path = self._folder / LINEAGE
        _write_whole(path, {**lineage, "parts": {part_name(part): self._done[part] for part in sorted(self._done)}})
        return path

    def _read_journal(self) -> Iterator[tuple[int, str]]:
        journal = self._folder / JOURNAL
        for line in journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []:
            try:
                entry = json.loads(line)
            except ValueError:  # the line at which the run was killed
                continue
            path = self._folder / part_name(entry["part"])
            if path.is_file() and file_sha256(path) == entry["sha256"]:
                yield entry["part"], entry["sha256"]


@contextmanager
def opened(folder: Path, plan: Mapping[str, Any]) -> Iterator[LabelParts]:
    """Begin a plan's folder, or go on with it.

    Raises DataRefused where the folder holds another plan's labels, or other files, or another run is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataRefused(str(folder), "another run is writing labels there") from None
        _agree(folder, json.loads(json.dumps(plan)))
        _end_torn_line(folder / JOURNAL)
        yield LabelParts(folder)


def _agree(folder: Path, plan: dict[str, Any]) -> None:
    path = folder / PLAN
    if not path.is_file():
        if others := sorted(one.name for one in folder.iterdir() if one.name != _LOCK and not one.name.startswith(".")):
            raise DataRefused(str(folder), f"holds {others[0]!r} and no {PLAN}; give labels a folder of their own")
        _write_whole(path, plan)
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    for name in sorted(found.keys() | plan.keys()):
        if found.get(name) != plan.get(name):
            words = f"holds labels with {name} {found.get(name)!r}, asked for {plan.get(name)!r}"
            raise DataRefused(str(folder), f"{words}; take another folder, or remove that one")


def _end_torn_line(journal: Path) -> None:
    """What is appended next must not become part of the line at which a run was killed."""
    if journal.is_file() and (content := journal.read_bytes()) and not content.endswith(b"\n"):
        with journal.open("ab") as file:
            file.write(b"\n")


def _write_whole(path: Path, document: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    sync(partial)
    partial.replace(path)
    sync(path.parent)
