"""The suite `serving`: every row in turn, then every row again, so that drift of the machine meets all alike."""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.artifact_store import ETA_FILE, ArtifactStore
from adapters.onnx_session import OnnxModel
from bench.exercise import Exercise, WrongAnswers
from bench.online import Online, online
from bench.peers import NotInstalled, environment, versions
from bench.ports import free_port
from bench.rows.protocol import Row, Site
from bench.server import NotReady
from bench.stand_in import stand_in
from bench.turn import OVERLOADED_P99_MS, Plan, take_turn
from bench.vectors import POOL, items, pool

NAME = "serving"


def run(rows: Sequence[Row], plan: Plan, home: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure rows and return plain data: the machine, the plan, the model, and each row's turns and medians.

    A row that can't be installed, does not start or answers wrongly says why in `status` and takes no more turns.
    """
    begun, here = time.monotonic(), machine()
    cache = home / "bench"
    artifact, made_up = find_artifact(home, cache)
    model = OnnxModel((artifact / ETA_FILE).read_bytes())
    records = [_record(row) for row in rows]
    with _ground(rows, artifact, model, cache) as ground:
        longest_s, turns = 0.0, 0
        for turn in range(plan.turns):
            since = time.monotonic()
            if turn and since - begun + longest_s > plan.budget_s:
                say(f"{turn} of {plan.turns} turns: another would end after {plan.budget_s / 60:.0f} minutes")
                break
            for row, record in zip(rows, records, strict=True):
                if record["status"] == "ok":
                    _take(row, record, ground, plan, turn=turn, say=say)
            turns, longest_s = turn + 1, time.monotonic() - since if turn else 0.0
    for record in records:
        record["median"] = summary(record["turns"])
        del record["known"]
    return {
        "suite": NAME,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(time.monotonic() - begun),
        "machine": here,
        "plan": asdict(replace(plan, turns=turns)),
        "model": {
            "file": "a stand-in of the student's size" if made_up else artifact.name,
            "sha256": hashlib.sha256((artifact / ETA_FILE).read_bytes()).hexdigest(),
            "bytes": (artifact / ETA_FILE).stat().st_size,
            "width": model.width,
        },
        "distinct_items": POOL,
        "rows": records,
    }


@dataclass(frozen=True)
class _Ground:
    """What the rows of a run share."""

    artifact: Path
    model: OnnxModel
    cache: Path
    vectors: Exercise
    online: Online | None

    def exercise(self, row: Row, turn: int) -> Exercise:
        """Return the items of a row's table; trips start soon, so they are made when they are needed."""
        if row.table == "A":
            return self.vectors
        assert self.online is not None
        self.online.refresh()
        return self.online.exercise(self.model, turn)

    def site(self, row: Row) -> Site:
        """Find or make the row's environment, and give it a port."""
        scratch = self.cache / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        return Site(
            bin=environment(row.peer, self.cache / "peers"),
            model=(self.artifact / ETA_FILE).resolve(),
            port=free_port(),
            scratch=scratch.resolve(),
            aside=free_port(),
            redis_url=self.online.url if self.online and row.table == "B" else "",
            feast=self.online.repository if self.online else Path(),
        )


@contextmanager
def _ground(rows: Sequence[Row], artifact: Path, model: OnnxModel, cache: Path) -> Iterator[_Ground]:
    """Prepare what is shared; a Valkey runs as long as rows of table B may need it."""
    drawn = pool(artifact)
    vectors = Exercise(items(drawn), model.run(drawn)[0])
    with ExitStack() as stack:
        filled = None
        if any(row.table == "B" for row in rows):
            filled = stack.enter_context(online(artifact, (cache / "scratch" / "online").resolve()))
        yield _Ground(artifact, model, cache, vectors, filled)


def _take(
    row: Row, record: dict[str, Any], ground: _Ground, plan: Plan, *, turn: int, say: Callable[[str], None]
) -> None:
    def told(words: str) -> None:
        say(f"[{turn + 1}/{plan.turns}] {row.table} {row.name}: {words}")

    try:
        site = ground.site(row)
        record["versions"] = versions(row.packages, site.bin)
        exercise = ground.exercise(row, turn + 1)
        taken = take_turn(row, site, exercise, plan, seed=turn + 1, known=record["known"], say=told)
        record["turns"].append(taken)
    except (NotInstalled, NotReady, WrongAnswers, OSError, subprocess.CalledProcessError) as error:
        record["status"] = f"{type(error).__name__}: {error}"
        told(record["status"])


def summary(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over turns: ready_s, memory_mib, highest by size, and the steps that most ran or that drowned."""
    if not turns:
        return {}
    steps: dict[tuple[int, float], list[dict[str, Any]]] = {}
    for turn in turns:
        for measured in turn["steps"]:
            steps.setdefault((measured["size"], measured["outcome"]["rate"]), []).append(measured)
    return {
        "ready_s": _median([turn["ready_s"] for turn in turns]),
        "memory_mib": _median([turn["memory_mib"] for turn in turns]),
        "highest": {size: _median([turn["highest"][size] for turn in turns]) for size in turns[0]["highest"]},
        "steps": [
            {
                "size": size,
                "rate": rate,
                **{key: _median([m["outcome"][key] for m in taken]) for key in ("p50_ms", "p95_ms", "p99_ms")},
                "failed": sum(sum(m["outcome"]["errors"].values()) for m in taken),
                "cpu_s_per_1000": _median([m["cpu_s_per_1000"] for m in taken if m["cpu_s_per_1000"] is not None]),
                "late_p99_ms": _median([m["outcome"]["late_p99_ms"] for m in taken]),
            }
            for (size, rate), taken in steps.items()
            if 2 * len(taken) > len(turns) or any(_drowned(m["outcome"]) for m in taken)
        ],
    }


def _drowned(outcome: dict[str, Any]) -> bool:
    return bool(outcome["errors"]) or outcome["p99_ms"] > OVERLOADED_P99_MS


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 4) if values else None


def _record(row: Row) -> dict[str, Any]:
    return {
        "name": row.name, "table": row.table, "settings": row.settings, "source": row.source,
        "versions": {}, "status": "ok", "turns": [], "known": {},
    }  # fmt: skip


def find_artifact(home: Path, cache: Path) -> tuple[Path, bool]:
    """Find the highest published version of a home, else a made-up one; and which of the two it is."""
    published = ArtifactStore(home / "artifacts")
    if versions_there := published.versions("eta"):
        return published.path("eta", versions_there[-1]), False
    return stand_in(ArtifactStore(cache / "stand-in"), cache / "scratch" / "stand-in"), True


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in words if line.startswith("model name")), "?")
    return {
        "cpu": model, "cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }  # fmt: skip
