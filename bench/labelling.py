"""`python -m bench.labelling`: `tandem label` against plain LightGBM, its memory, and a kill half-way. Prints JSON.

It needs a home with a version that has teachers. Requests are drawn from the home's trips, moved by some hours; "plain"
is `Booster.predict` on vectors that are there already, with as many threads as the labelling has workers, before and
after it. Memory is the peak of the sum over the processes, each counting its part of what is shared (PSS), looked at
once a second.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from adapters.label_parts import JOURNAL
from adapters.requests_file import RequestsFile
from contracts.hindsight import TEACHER_SCHEMA
from contracts.local_time import DAY_S
from model_registry.store import ModelStore
from pipelines.label import PART_ROWS
from pipelines.layout import MODEL, Layout
from pipelines.trips import read_trips
from training.distill import FoldTeachers
from training.teacher_files import read_teachers

RESULTS = Path(__file__).parent / "results" / "labelling.json"
GIB = 1024**3
PLAIN_ROWS = 100_000


def main(arguments: list[str]) -> int:
    """Measure each engine and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.labelling", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("TANDEM_HOME", ".tandem")))
    parser.add_argument("--version", type=int, required=True)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--engines", nargs="+", default=["threads"], choices=["threads", "ray"])
    parser.add_argument("--no-kill", action="store_true", help="leave out the run that is killed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    home = chosen.home.resolve()
    with tempfile.TemporaryDirectory() as folder:
        place, teachers = Path(folder), teachers_of(home, chosen.version)
        requests = draw(home, chosen.rows, place / "requests.parquet")
        before = plain_rate(teachers, chosen.workers)
        engines = {}
        for engine in chosen.engines:
            words = command(home, requests, place / engine, chosen, engine)
            engines[engine] = {"whole": run(words)}
            if not chosen.no_kill:
                engines[engine]["killed"] = killed(words, place / engine, place / f"{engine}-killed")
        after = plain_rate(teachers, chosen.workers)
    plain = (before + after) / 2
    for one in engines.values():
        one["of_plain"] = one["whole"]["rows_per_s"] / plain
        one["of_plain_while_labelling"] = one["whole"]["rows_per_s_labelling"] / plain
    result = {
        "rows": chosen.rows,
        "workers": chosen.workers,
        "trees": [one.num_trees() for one in teachers.boosters],
        "plain_rows_per_s": {"before": before, "after": after},
        "engines": engines,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0


def teachers_of(home: Path, version: int) -> FoldTeachers:
    """The fold teachers of a registered version."""
    layout = Layout(home)
    store = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
    with tempfile.TemporaryDirectory() as folder:
        return read_teachers(store.fetch_teacher(MODEL, version, Path(folder)))[1]


def draw(home: Path, rows: int, path: Path) -> Path:
    """Requests like the home's trips, at other times of their day; half of them with a record."""
    trips, rng = read_trips(Layout(home).trips), np.random.default_rng(0)
    picked = trips.iloc[np.sort(rng.integers(0, len(trips), rows))]
    moved = rng.integers(-DAY_S // 4, DAY_S // 4, rows)
    frame = pd.DataFrame(
        {
            "id": [f"q{i:08d}" for i in range(rows)],
            "at": (picked["pickup_at"].reset_index(drop=True) + pd.to_timedelta(moved, unit="s")).dt.as_unit("us"),
            "pickup_zone": picked["pickup_zone"].to_numpy(),
            "dropoff_zone": picked["dropoff_zone"].to_numpy(),
            "duration_s": np.where(rng.random(rows) < 0.5, picked["duration_s"].to_numpy(), np.nan),
        }
    )
    frame.to_parquet(path)
    assert RequestsFile(path).rows == rows
    return path


def plain_rate(teachers: FoldTeachers, threads: int) -> float:
    """Rows/s of LightGBM alone, on vectors that are there already; the median of three goes."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(PLAIN_ROWS, len(TEACHER_SCHEMA.features))).astype(np.float32)
    rates = []
    for booster in teachers.boosters[:3]:
        begun = time.perf_counter()
        booster.predict(matrix, num_threads=threads)
        rates.append(PLAIN_ROWS / (time.perf_counter() - begun))
    return float(np.median(rates))


def command(home: Path, requests: Path, out: Path, chosen: argparse.Namespace, engine: str) -> list[str]:
    """The words of `tandem label`."""
    words = ["--home", home, "--requests", requests, "--out", out, "--version", chosen.version]
    more = ["--engine", engine, "--workers", chosen.workers, "--part-rows", min(PART_ROWS, chosen.rows // 8 or 1)]
    return [sys.executable, "-m", "pipelines.cli", "label", "--json", *map(str, [*words, *more])]


def run(words: list[str]) -> dict[str, float]:
    """One undisturbed run: rows/s in all and from the first part on, and the peak of memory."""
    out, begun = Path(words[words.index("--out") + 1]), time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    peak, first = [0.0], [0.0]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(1.0):
            peak[0] = max(peak[0], memory(process.pid))
            if not first[0] and (out / JOURNAL).is_file():
                first[0] = time.perf_counter()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        said = process.communicate()[0]
    finally:
        process.kill()
        process.wait()
        stop.set()
        watching.join()
    took = time.perf_counter() - begun
    result = json.loads(said)
    if process.returncode:
        raise SystemExit(result["message"])
    parts = [json.loads(line)["rows"] for line in (out / JOURNAL).read_text().splitlines()]
    workers = int(words[words.index("--workers") + 1])
    later = sum(parts[workers:])  # those under way when the first was done are not counted, nor is their time
    return {
        "seconds": took,
        "rows_per_s": result["rows"] / took,
        "rows_per_s_labelling": later / (begun + took - first[0]) if first[0] else float("nan"),
        "peak_gib": peak[0] / GIB,
    }


def killed(words: list[str], whole: Path, out: Path) -> dict[str, Any]:
    """SIGKILL when half of the parts are there, go on, and compare."""
    again = [str(out) if word == str(whole) else word for word in words]
    half = len(list(whole.glob("part-*.parquet"))) // 2
    process = subprocess.Popen(again, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while not (out / JOURNAL).is_file() or len((out / JOURNAL).read_text().splitlines()) < half:
            if process.poll() is not None:
                raise SystemExit("it ended before it could be killed")
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    left = len(list(out.glob("part-*.parquet")))
    subprocess.run(again, check=True, stdout=subprocess.DEVNULL)
    files = [{path.name: path.read_bytes() for path in sorted(of.glob("part-*"))} for of in (whole, out)]
    return {"parts_at_the_kill": left, "parts": len(files[0]), "same_bytes": files[0] == files[1]}


def memory(pid: int) -> float:
    """Bytes of a process and all below it, shared ones by their part."""
    total = 0.0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0.0
    for one in family:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
