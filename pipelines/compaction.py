"""Closed segments of the prediction log to Parquet, a partition a day (UTC); a kill loses and doubles nothing.

A pass takes some segments, says in a plan which, writes their Parquet under names that the plan fixes, and deletes them
when all of it is durable. A plan that is found is finished first: before its files were durable by writing them again
under the same names, after that by deleting what is left of its segments.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from adapters.durable import sync
from adapters.prediction_segments import SegmentReader
from adapters.segment_folder import closed_segments
from contracts.errors import DataRefused, Unavailable
from pipelines.partition_files import PARTIAL, PartitionFiles, parquet_files
from pipelines.published import held

DAMAGED: Final = ".damaged"
_PLAN: Final = "compaction.json"
_BATCH_BYTES: Final = 256 << 20


class _Plan(msgspec.Struct, frozen=True):
    name: str
    segments: list[str]
    damaged: list[str] = []
    durable: bool = False


class Compacted(msgspec.Struct):
    """What a pass did; `damaged` segments stay as ``.damaged``, `expired` files gave way to the bound on disk."""

    segments: int = 0
    records: int = 0
    rows: int = 0
    files: int = 0
    torn_bytes: int = 0
    damaged: int = 0
    expired: int = 0


def compact(folder: Path, *, keep_bytes: int) -> Compacted:
    """Compact what is closed, then delete the oldest Parquet beyond `keep_bytes`.

    Raises Unavailable where another process is compacting, OSError where the disk refuses; both leave all as it is.
    """
    done = Compacted()
    if not folder.is_dir():
        return done
    with _alone(folder):
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        if plan := _read_plan(folder):
            _carry_out(folder, plan, done)
        while chosen := _choose([path for path in closed_segments(folder) if not held(folder, path)]):
            _carry_out(folder, _Plan(chosen[0].stem, [path.name for path in chosen]), done)
        done.expired = _expire(folder, keep_bytes)
    return done


def _choose(closed: Sequence[Path]) -> list[Path]:
    size = 0
    chosen: list[Path] = []
    for path in closed:
        size += path.stat().st_size
        if chosen and size > _BATCH_BYTES:
            break
        chosen.append(path)
    return chosen


def _carry_out(folder: Path, plan: _Plan, done: Compacted) -> None:
    if not plan.durable:
        _write_plan(folder, plan)
        damaged = _write_parquet(folder, plan, done)
        plan = msgspec.structs.replace(plan, damaged=damaged, durable=True)
        _write_plan(folder, plan)
    for name in plan.segments:
        path = folder / name
        if not path.exists():
            continue
        if name in plan.damaged:
            path.rename(path.with_suffix(DAMAGED))
        else:
            path.unlink()
    sync(folder)  # before the plan goes: a segment that came back would be compacted twice
    (folder / _PLAN).unlink()
    done.segments += len(plan.segments)
    done.damaged += len(plan.damaged)


def _write_parquet(folder: Path, plan: _Plan, done: Compacted) -> list[str]:
    """Write the plan's files; returns the segments that hold what could not be read."""
    damaged: list[str] = []
    (folder / PARTIAL).mkdir(mode=0o700)
    with ExitStack() as closing:
        files = PartitionFiles(folder, plan.name, [Path(name).stem for name in plan.segments], closing)
        for name in plan.segments:
            path = folder / name
            if not path.exists():  # somebody removed it
                continue
            with path.open("rb") as file:
                segment = SegmentReader(file)
                misfits = sum(not files.add(segment.head, record) for record in segment)
            done.torn_bytes += segment.torn
            if segment.damaged or misfits:
                damaged.append(name)
        files.finish()
    done.records, done.rows, done.files = done.records + files.records, done.rows + files.rows, done.files + len(files)
    (folder / PARTIAL).rmdir()
    return damaged


def _expire(folder: Path, keep_bytes: int) -> int:
    """Delete the oldest files beyond the bound, whole ones; returns how many."""
    files = [*sorted(folder.glob(f"*{DAMAGED}")), *parquet_files(folder)]
    sizes = [path.stat().st_size for path in files]
    excess, expired = sum(sizes) - keep_bytes, 0
    for path, size in zip(files, sizes, strict=True):
        if excess <= 0:
            break
        path.unlink()
        excess, expired = excess - size, expired + 1
        if path.parent != folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return expired


def _read_plan(folder: Path) -> _Plan | None:
    path = folder / _PLAN
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Plan)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DataRefused(str(path), f"is no plan of a compaction ({error})") from error


def _write_plan(folder: Path, plan: _Plan) -> None:
    partial = folder / f"{_PLAN}.partial"
    with partial.open("wb") as file:
        file.write(msgspec.json.encode(plan))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / _PLAN)
    sync(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "compaction.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable("prediction log", "busy", f"another process is compacting {folder}") from None
        yield
