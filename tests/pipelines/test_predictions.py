"""From segments to Parquet: every record once, whatever is damaged, killed or compacted a second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.prediction_segments import frame, frame_head
from contracts.errors import DataRefused, Unavailable
from contracts.local_time import DAY_S
from contracts.predictions import Prediction, SegmentHead
from pipelines import predictions
from pipelines.compaction import compact
from pipelines.partition_files import parquet_files
from pipelines.prediction_records import records
from pipelines.prediction_search import find
from tests.fakes import NOW
from tests.some_predictions import HEAD, prediction

EVERYTHING = 1 << 40


def segment(folder: Path, name: str, *logged: Prediction, head: SegmentHead = HEAD) -> Path:
    """Write a closed segment."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.log"
    path.write_bytes(frame_head(head) + b"".join(frame(msgspec.msgpack.encode(record)) for record in logged))
    return path


def table(folder: Path) -> Any:
    """All rows, as training would read them."""
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in parquet_files(folder)])


def request_ids(folder: Path) -> list[str]:
    """The requests that are in Parquet, one for each trip."""
    return sorted(table(folder).column("request_id").to_pylist())


def rows(folder: Path) -> list[str]:
    """Every row in words, so that NaN is NaN."""
    return sorted(map(str, table(folder).to_pylist()))


def test_a_row_a_trip(tmp_path: Path) -> None:
    """Attributes, zones, features by name with NaN kept, ages, answers, and why the heuristic answered which trip."""
    segment(tmp_path, "1", prediction(1, fallback=b"\0\1", reason="model_output_invalid"))
    done = compact(tmp_path, keep_bytes=EVERYTHING)
    assert (done.segments, done.records, done.rows, done.files, done.damaged) == (1, 1, 2, 1, 0)
    found = table(tmp_path).to_pylist()
    assert found[1] | {"feature.pair.median_s": None} == {
        "request_id": "request-1",
        "id": "trip-1",
        "kind": "eta",
        "at": found[0]["ce_time"],
        "unit": "rider-1",
        "arm": "champion",
        "generation": 3,
        "version": 1,
        "schema_hash": HEAD.schema_hash,
        "pickup_zone": "1",
        "dropoff_zone": "2",
        "start_at": found[0]["at"],
        "source": "fallback",
        "reason": "model_output_invalid",
        "server_ms": 0.25,
        "model_ms": 0.125,
        "ce_id": "request-1/trip-1/eta/1",
        "ce_source": "/tandem/test",
        "ce_type": "tandem.prediction.eta",
        "ce_time": found[0]["at"],
        "ce_specversion": "1.0",
        "eta_s": 601.0,
        "low_s": 480.0,
        "high_s": 720.0,
        "feature.distance_m": 1.0,
        "feature.pair.median_s": None,
        "feature.pickup.speed": 1.0,
        "age.city.city_live": 0.5,
        "age.pickup.zone_live": 1.5,
        "age.pickup.zone_long": pytest.approx(np.nan, nan_ok=True),
        "age.dropoff.zone_live": 3.5,
        "age.pair.pair_stats": 4.5,
    }
    assert np.isnan(found[1]["feature.pair.median_s"])
    assert (found[0]["source"], found[0]["reason"]) == ("model", None)
    assert found[0]["at"].timestamp() == NOW + 1


def test_days_are_partitions(tmp_path: Path) -> None:
    """By the time of the answer, in UTC."""
    segment(tmp_path, "1", *(prediction(day, trips=1, at=NOW + day * DAY_S) for day in (0, 1, 0)))
    compact(tmp_path, keep_bytes=EVERYTHING)
    assert [path.parent.name for path in parquet_files(tmp_path)] == ["date=2027-01-15", "date=2027-01-16"]
    assert [pq.ParquetFile(path).metadata.num_rows for path in parquet_files(tmp_path)] == [2, 1]


def test_another_schema_is_another_file(tmp_path: Path) -> None:
    """Two releases wrote on one day; the rows keep the names of their own."""
    other = SegmentHead("/tandem/new", "tiny", "f" * 64, ("a", "b", "c"), HEAD.ages)
    segment(tmp_path, "1", prediction(1))
    segment(tmp_path, "2", prediction(2, schema_hash="f" * 12), head=other)
    assert compact(tmp_path, keep_bytes=EVERYTHING).files == 2
    names = {name for path in parquet_files(tmp_path) for name in pq.read_schema(path).names}
    assert {"feature.a", "feature.distance_m"} <= names


def test_a_request_that_the_model_was_not_asked_for_has_no_features(tmp_path: Path) -> None:
    """They are null, unlike an absent value, which is NaN."""
    segment(tmp_path, "1", prediction(1, trips=1), prediction(2, trips=1, features=b"", ages=b""))
    assert compact(tmp_path, keep_bytes=EVERYTHING).damaged == 0
    found = table(tmp_path).to_pylist()
    assert np.isnan(found[0]["feature.pair.median_s"])
    assert found[1]["feature.pair.median_s"] is found[1]["age.city.city_live"] is None


def test_tensors_without_trips(tmp_path: Path) -> None:
    """What came by the Open Inference Protocol has positions for ids and no zones."""
    record = prediction(1, kind="infer", ids=[], pickup=[], dropoff=[], starts=b"", ages=b"")
    segment(tmp_path, "1", record)
    compact(tmp_path, keep_bytes=EVERYTHING)
    found = table(tmp_path).to_pylist()
    assert [(row["id"], row["pickup_zone"], row["start_at"]) for row in found] == [("0", None, None), ("1", None, None)]
    assert [logged.record for logged in find(tmp_path, "request-1")] == [
        msgspec.structs.replace(record, ids=["0", "1"])
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"pickup": ["1"]},
        {"version": 1 << 63},
        {"schema_hash": "0123"},
        {"features": bytes(8)},
        {"at": float("nan")},
        {"at": 1e12},
        {"starts": bytes(8)},
        {"answers": bytes(20)},
        {"ids": []},
    ],
)
def test_a_record_that_does_not_fit_is_kept_aside(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Its segment stays as ``.damaged``; the records beside it are rows."""
    wrong = prediction(2, **({"starts": bytes(7)} if changes == {"ids": []} else changes))
    segment(tmp_path, "1", prediction(1), wrong, prediction(3))
    assert compact(tmp_path, keep_bytes=EVERYTHING).damaged == 1
    beside = ["request-1"] * 2 + ["request-3"] * 2
    assert [name for name in request_ids(tmp_path) if name != "request-2"] == beside
    assert (request_ids(tmp_path) == beside) == ("features" not in changes)  # without its features it is a row
    assert (tmp_path / "1.damaged").exists()


def test_a_segment_without_its_head(tmp_path: Path) -> None:
    """Nobody knows the names of its features: rows without them, and the segment stays."""
    path = segment(tmp_path, "1", prediction(1))
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    assert compact(tmp_path, keep_bytes=EVERYTHING).damaged == 1
    found = table(tmp_path).to_pylist()
    assert [(row["id"], row["eta_s"]) for row in found] == [("trip-0", 600.0), ("trip-1", 601.0)]
    assert not [name for name in found[0] if name.startswith(("feature.", "age."))]
    assert [logged.record.features for logged in find(tmp_path, "request-1")] == [b""]


def test_a_segment_without_a_record(tmp_path: Path) -> None:
    """Its writer was killed within its first write: nothing to keep."""
    path = segment(tmp_path, "1", prediction(1))
    path.write_bytes(path.read_bytes()[:-1])
    done = compact(tmp_path, keep_bytes=EVERYTHING)
    assert (done.segments, done.files, done.damaged) == (1, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compaction.lock"]


def test_damage_is_kept_aside_and_a_torn_end_is_not(tmp_path: Path) -> None:
    """A torn end is what kills leave; damage somebody may want to look at."""
    torn = segment(tmp_path, "1", prediction(1), prediction(2))
    torn.write_bytes(torn.read_bytes()[:-5])
    damaged = segment(tmp_path, "2", prediction(3), prediction(4))
    damaged.write_bytes(damaged.read_bytes().replace(b"request-3", b"request-8"))
    done = compact(tmp_path, keep_bytes=EVERYTHING)
    assert (done.damaged, done.torn_bytes) == (1, len(frame(msgspec.msgpack.encode(prediction(2)))) - 5)
    assert request_ids(tmp_path) == ["request-1"] * 2 + ["request-4"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.damaged", "compaction.lock", "parquet"]


def test_the_oldest_go_beyond_the_bound(tmp_path: Path) -> None:
    """Whole files, and folders that are empty then."""
    for day in range(3):
        segment(tmp_path, str(day), prediction(day, at=NOW + day * DAY_S))
        compact(tmp_path, keep_bytes=EVERYTHING)
    sizes = [path.stat().st_size for path in parquet_files(tmp_path)]
    assert compact(tmp_path, keep_bytes=sum(sizes) - 1).expired == 1
    assert request_ids(tmp_path) == ["request-1"] * 2 + ["request-2"] * 2
    assert len(list((tmp_path / "parquet").iterdir())) == 2


def test_two_at_once(tmp_path: Path) -> None:
    """The second is refused."""
    segment(tmp_path, "1", prediction(1))
    holder = "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.flock(f,2); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "compaction.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(Unavailable, match="another process is compacting"):
            compact(tmp_path, keep_bytes=EVERYTHING)
        other.communicate()
    assert compact(tmp_path, keep_bytes=EVERYTHING).segments == 1


def test_a_plan_that_is_none(tmp_path: Path) -> None:
    """Is named, and nothing is touched."""
    segment(tmp_path, "1", prediction(1))
    (tmp_path / "compaction.json").write_text("{}")
    with pytest.raises(DataRefused, match=r"compaction\.json: is no plan"):
        compact(tmp_path, keep_bytes=EVERYTHING)
    assert (tmp_path / "1.log").exists()


def test_due() -> None:
    """Sixty-four megabytes, or ten minutes."""
    assert not predictions.due([], 1000.0)
    assert not predictions.due([(1 << 20, 500.0), (1 << 20, 990.0)], 1000.0)
    assert predictions.due([(1 << 20, 400.0)], 1000.0)
    assert predictions.due([(40 << 20, 999.0)] * 2, 1000.0)


def test_one_pass_as_a_program(tmp_path: Path) -> None:
    """As the stack runs it: what was done as JSON."""
    segment(tmp_path / "predictions", "1", prediction(1))
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.predictions", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert json.loads(done.stdout)["predictions"]["rows"] == 2
    assert request_ids(tmp_path / "predictions") == ["request-1"] * 2


def test_following_compacts_what_is_due(tmp_path: Path) -> None:
    """An old segment, as soon as it is found; a stop at any moment does no harm."""
    folder = tmp_path / "predictions"
    os.utime(segment(folder, "1", prediction(1)), (NOW - 601, 0))
    command = [sys.executable, "-m", "pipelines.predictions", "--home", str(tmp_path), "--follow"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        assert json.loads(following.stdout.readline())["predictions"]["segments"] == 1
        following.terminate()
    assert request_ids(folder) == ["request-1"] * 2


def test_following_loads_no_parquet() -> None:
    """It stays up all the time; passes have processes of their own."""
    code = "import pipelines.predictions, sys; print('pyarrow' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.split()[0] == "False"


def test_a_request_is_found_wherever_it_is(tmp_path: Path) -> None:
    """In a segment that is being written, in a closed one, in Parquet; its shadow, too; and once though in both."""
    shadow = prediction(1, kind="shadow", version=2)
    segment(tmp_path, "1", prediction(1), prediction(2))
    segment(tmp_path, "2", prediction(3)).rename(tmp_path / "2.open")
    assert [logged.place.name for logged in find(tmp_path, "request-3")] == ["2.open"]
    whole = (tmp_path / "1.log").read_bytes()
    assert [logged.record for logged in find(tmp_path, "request-1")] == [prediction(1)]
    compact(tmp_path, keep_bytes=EVERYTHING)
    segment(tmp_path, "3", shadow)
    found = find(tmp_path, "request-1")
    assert {logged.record.kind: logged.record for logged in found} == {"eta": prediction(1), "shadow": shadow}
    assert {logged.place.suffix for logged in found} == {".parquet", ".log"}
    assert [logged.head for logged in find(tmp_path, "request-2")] == [HEAD]
    (tmp_path / "1.log").write_bytes(whole)  # a compaction that is not at its end
    assert len(find(tmp_path, "request-2")) == 1
    assert find(tmp_path, "request-9") == find(tmp_path, "\udcff") == []
    parquet_files(tmp_path)[0].write_bytes(b"PAR1")
    with pytest.raises(DataRefused, match="maybe damaged"):
        find(tmp_path, "request-2")


KILLER = """
import os, shutil, signal, sys
from pathlib import Path
import pandas  # pyarrow looks for it in every child, which takes a second
from pipelines.compaction import compact

def compact_and_die(folder, step):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "fcntl.flock"}:
            if str(folder) in str(arguments[0]):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    compact(folder, keep_bytes=1 << 40)
    os._exit(0)

source, target = Path(sys.argv[1]), Path(sys.argv[2])
step, status = 0, -1
while status:
    step += 1
    folder = target / str(step)
    shutil.copytree(source, folder)
    child = os.fork()
    if not child:
        compact_and_die(folder, step)
    status = os.waitpid(child, 0)[1]
print(step)
"""


def test_a_compaction_killed_anywhere_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL before each of its file operations: searching finds each, and the next pass gives the same rows."""
    source = tmp_path / "source"
    segment(source, "1", prediction(1), prediction(2, at=NOW + DAY_S))
    segment(source, "2", prediction(3))
    torn = segment(source, "3", prediction(4), prediction(5))
    torn.write_bytes(torn.read_bytes()[:-1])
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(source), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    steps = int(done.stdout)
    assert steps > 20
    compact(source, keep_bytes=EVERYTHING)
    expected = rows(source)
    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        assert [len(find(folder, f"request-{i}")) for i in range(1, 6)] == [1, 1, 1, 1, 0], f"step {step}"
        compact(folder, keep_bytes=EVERYTHING)
        assert rows(folder) == expected, f"step {step}"
        assert sorted(path.name for path in folder.iterdir()) == ["compaction.lock", "parquet"], f"step {step}"


def test_rows_become_the_records_they_came_from(tmp_path: Path) -> None:
    """Bit by bit, heads included."""
    logged = [prediction(i, trips=1 + i % 3) for i in range(50)]
    segment(tmp_path, "1", *logged)
    compact(tmp_path, keep_bytes=EVERYTHING)
    assert list(records(table(tmp_path))) == [(HEAD, record) for record in logged]
