"""Evidence out of real segments, real Parquet and a real database: which arm, which guardrail, once each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from adapters.segment_writer import SegmentLimits
from contracts.errors import Unavailable
from contracts.predictions import OWN_FAILURES
from model_registry.evidence import Arm, Evidence
from model_registry.histogram import Histogram
from pipelines.compaction import compact
from pipelines.evidence import open_evidence
from pipelines.matured import SETTLE_S
from pipelines.partition_files import SEGMENTS
from serving.eta import Reason
from serving.prediction_log import LogLimits
from serving.settings import Settings
from tests.fakes import NOW
from tests.logged_arms import AB_STEP, CANARY_STEP, CUT_S, SHADOW_STEP, Arms

EVERYTHING = 1 << 40
LATER = NOW + CUT_S + SETTLE_S


@pytest.fixture
def arms(tmp_path: Path) -> Arms:
    """A canary step."""
    return Arms(tmp_path)


def total(evidence: Evidence, side: str) -> Arm:
    """All cells of an arm as one."""
    found = [getattr(cell, side) for cell in evidence.cells]
    counts: dict[str, Any] = {"latency": {}, "model": {}}
    for arm in found:
        for name in ("requests", "errors", "fallbacks", "labels", "abs_error_sum", "abs_error_sumsq"):
            counts[name] = counts.get(name, 0) + getattr(arm, name)
        for name in ("latency", "model"):
            for bucket, n in getattr(arm, name).counts.items():
                counts[name][bucket] = counts[name].get(bucket, 0) + n
    return Arm(**{**counts, "latency": Histogram(counts["latency"]), "model": Histogram(counts["model"])})


def test_each_arm_is_counted_by_the_minute(arms: Arms) -> None:
    """From the step's beginning on; times in histograms; requests are the candidate's samples."""
    for after_s in (-1.0, 0.0, 59.0, 60.0):
        arms.answer(after_s=after_s)
        arms.answer("canary", after_s=after_s, server_ms=20.0, model_ms=15.0)
    arms.log.flush()
    evidence = arms.source().evidence(arms.rollout, NOW + 90)
    assert [(cell.at - NOW, cell.champion.requests, cell.candidate.requests) for cell in evidence.cells] == [
        (0.0, 2, 2),
        (60.0, 1, 1),
    ]
    assert evidence.cells[0].champion.latency == Histogram.of([2.0, 2.0])
    assert evidence.cells[0].candidate.latency == Histogram.of([20.0, 20.0])
    assert evidence.cells[0].candidate.model == Histogram.of([15.0, 15.0])
    assert (evidence.samples, evidence.units, evidence.pairs) == (3, (3, 3), None)


def test_a_versions_own_failures_are_not_those_of_its_features() -> None:
    """Only what the model did counts as its error; these are words that serving uses."""
    assert set(Reason) >= OWN_FAILURES
    assert {reason.value for reason in Reason} - OWN_FAILURES == {
        *("features_timeout", "features_unavailable", "kill_switch", "features_stale")
    }


def test_an_error_is_counted_though_a_fallback_hid_it(arms: Arms) -> None:
    """Callers got the heuristic both times; only one of them is the candidate's fault."""
    arms.answer("canary")
    arms.answer("canary", fallback=b"\1", reason="model_error", model_ms=0.0)
    arms.answer("canary", fallback=b"\1", reason="features_timeout", model_ms=0.0)
    arms.answer("canary", reason="features_stale")
    arms.log.flush()
    candidate = total(arms.source().evidence(arms.rollout, NOW + 60), "candidate")
    assert (candidate.requests, candidate.errors, candidate.fallbacks) == (4, 1, 2)
    assert (candidate.latency.n, candidate.model.n) == (4, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 0},  # an older table: before a replica had heard of the step
        {"kind": "infer"},
        {"version": 3},
        {"kind": "shadow"},
        {"unit": ""},  # a tester chose the arm
        {"fallback": b"\1", "reason": "kill_switch"},
    ],
)
def test_what_the_split_did_not_choose_counts_nowhere(arms: Arms, changes: dict[str, Any]) -> None:
    """Other tables, shadows in a canary, other versions, arms chosen by hand, models switched off."""
    arms.answer("canary", **changes)
    arms.log.flush()
    evidence = arms.source().evidence(arms.rollout, NOW + 60)
    assert (evidence.samples, evidence.cells) == (0, ())


def test_a_switched_off_model_gives_no_evidence(arms: Arms) -> None:
    """Under the kill switch nobody is asked; before it and after it the step's tables are its own."""
    for generation, off in ((2, True), (3, False)):
        table = msgspec.structs.replace(arms.table, generation=generation, fallback_only=off)
        arms.state.put_route_table(table)
    for generation in (1, 2, 3):
        arms.answer("canary", generation=generation)
    arms.log.flush()
    assert arms.source().evidence(arms.rollout, NOW + 60).samples == 2


def test_units_are_counted_once(arms: Arms) -> None:
    """A rider's second request is no second unit; a request without a rider is one of its own."""
    for _ in range(3):
        arms.answer(unit="anna")
        arms.answer("canary", unit="bert")
        arms.answer("canary")
    arms.log.flush()
    assert arms.source().evidence(arms.rollout, NOW + 60).units == (1, 4)


def test_looking_again_reads_what_is_new(arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open segment from where it ended; a closed one that was read, and its Parquet, never again."""
    source, seen = arms.source(), []
    monkeypatch.setattr("pipelines.answered_rows.SegmentReader", _watched(seen))
    for i in range(4):
        arms.answer(after_s=i)
        arms.log.flush()
        assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == i + 1
    assert len(seen) == 4
    arms.log.close()
    source.evidence(arms.rollout, NOW + 15)  # to its end, now that it has one
    compact(arms.predictions, keep_bytes=EVERYTHING)
    monkeypatch.setattr("pipelines.answered_rows.ParquetRows.read", None)
    assert total(source.evidence(arms.rollout, NOW + 20), "champion").requests == 4
    assert len(seen) == 4


def _watched(seen: list[str]) -> Any:
    from adapters.prediction_segments import SegmentReader  # noqa: PLC0415 - before it is replaced

    class Watched(SegmentReader):
        def __iter__(self) -> Any:
            for record in super().__iter__():
                seen.append(record.request_id)
                yield record

    return Watched


def test_what_was_compacted_unread_is_read_from_parquet_once(arms: Arms) -> None:
    """A controller that was away: of one segment it had read a part, of another nothing."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.log.flush()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    arms.answer(after_s=2)
    arms.log.close()
    arms.log = arms.replica()
    arms.answer(after_s=3)
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    arms.log = arms.replica()
    arms.answer(after_s=4)
    arms.log.flush()
    for _ in range(2):
        assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 4
    assert source.evidence(arms.rollout, NOW + 10) == arms.source().evidence(arms.rollout, NOW + 10)


def test_the_unread_end_of_a_compacted_segment_is_read(arms: Arms) -> None:
    """The file's only segment was looked at while it grew; afterwards nothing is remembered of it."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.log.flush()
    source.evidence(arms.rollout, NOW + 10)
    arms.answer(after_s=2)
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 2
    assert source._step
    assert source._step.state.cursor.segments == {}


def test_a_file_of_an_older_release_is_left_alone(arms: Arms) -> None:
    """It does not say of which segments it is, and it is older than the rollout."""
    arms.answer()
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    (path,) = arms.predictions.glob("parquet/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    kept = {name: value for name, value in table.schema.metadata.items() if name != SEGMENTS}
    pq.write_table(table.replace_schema_metadata(kept), path)
    assert arms.source().evidence(arms.rollout, NOW + 60).cells == ()


def test_a_compaction_in_its_midst_doubles_nothing(arms: Arms) -> None:
    """Parquet is there before its segments go."""
    source = arms.source()
    arms.answer()
    arms.log.close()
    (segment,) = arms.predictions.glob("*.log")
    whole = segment.read_bytes()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    compact(arms.predictions, keep_bytes=EVERYTHING)
    segment.write_bytes(whole)
    for each in (source, arms.source()):
        assert total(each.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    segment.unlink()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1


def test_a_killed_replica_leaves_what_it_had_written(arms: Arms) -> None:
    """Its torn end is nothing, its next life goes on, and no count starts again."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.answer(after_s=2)
    arms.log.flush()
    (segment,) = arms.predictions.glob("*.open")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-7])
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1
    arms.log = arms.replica()
    arms.answer(after_s=3)
    arms.log.flush()
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 2


def test_a_half_written_record_is_read_when_it_is_whole(arms: Arms) -> None:
    """Whoever looks while a replica writes goes on at the record's beginning."""
    source = arms.source()
    arms.answer(after_s=1)
    arms.log.flush()
    (segment,) = arms.predictions.glob("*.open")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-7])
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 0
    segment.write_bytes(whole)
    assert total(source.evidence(arms.rollout, NOW + 10), "champion").requests == 1


def test_a_late_record_is_counted_in_its_minute(arms: Arms) -> None:
    """A disk that took nothing for minutes."""
    source = arms.source()
    arms.answer(after_s=200)
    arms.log.flush()
    source.evidence(arms.rollout, NOW + 240)
    arms.answer(after_s=10)
    arms.log.flush()
    assert [cell.at for cell in source.evidence(arms.rollout, NOW + 300).cells] == [NOW, NOW + 180]


def test_a_controller_that_starts_again_goes_on(arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what it kept: of a step of weeks it reads what is new."""
    kept = {"file": arms.folder / "evidence.msgpack", "save_s": 0.0}
    for i in range(3):
        arms.answer("canary", after_s=i, unit=f"rider-{i}")
    arms.log.flush()
    before = arms.source(**kept).evidence(arms.rollout, NOW + 60)
    seen: list[str] = []
    monkeypatch.setattr("pipelines.answered_rows.SegmentReader", _watched(seen))
    record = arms.answer("canary", after_s=3, unit="rider-0")
    arms.log.flush()
    after = arms.source(**kept).evidence(arms.rollout, NOW + 60)
    assert seen == [record.request_id]
    assert (before.samples, before.units, after.samples, after.units) == (3, (0, 3), 4, (0, 3))
    assert kept["file"].stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\x93\x01", b"no MessagePack", None])
def test_what_was_kept_and_is_of_no_use_is_left_alone(arms: Arms, content: bytes | None) -> None:
    """Damaged, or of another step: the log has it all."""
    file = arms.folder / "evidence.msgpack"
    kept = {"file": file, "save_s": 0.0}
    arms.answer("canary")
    arms.log.flush()
    if content is None:
        arms.source(**kept).evidence(arms.rollout_at(CANARY_STEP + 1), NOW + 60)
    else:
        file.write_bytes(content)
    assert arms.source(**kept).evidence(arms.rollout, NOW + 60).samples == 1


def test_what_can_not_be_kept_does_no_harm(arms: Arms, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that is gone, a disk that is full: it is told."""
    arms.answer("canary")
    arms.log.flush()
    source = arms.source(file=arms.folder / "gone" / "evidence.msgpack", save_s=0.0)
    assert source.evidence(arms.rollout, NOW + 60).samples == 1
    assert "can't be written" in caplog.text


def test_the_next_step_starts_from_nothing(arms: Arms) -> None:
    """Under its own table, with none of the minutes before."""
    source = arms.source()
    arms.answer("canary", after_s=10)
    arms.log.flush()
    assert source.evidence(arms.rollout, NOW + 30).samples == 1
    following = arms.rollout_at(CANARY_STEP + 1, entered_at=NOW + 40)
    table = msgspec.structs.replace(arms.table, generation=2, candidate_percent=25.0)
    arms.state.put_route_table(table)
    arms.answer("canary", after_s=50, generation=1)  # a replica that had not heard yet
    arms.answer("canary", after_s=50, generation=2)
    arms.log.flush()
    evidence = source.evidence(following, NOW + 60)
    assert (evidence.samples, [cell.at for cell in evidence.cells]) == (1, [NOW + 40])


def test_labels_count_at_one_age_in_both_arms(arms: Arms) -> None:
    """Not before every answer of the minute has it, then in the minute of maturity; what came later never."""
    slow = arms.answer("canary", after_s=5, eta_s=900.0)
    short = arms.answer("canary", after_s=5)
    base = arms.answer(after_s=5)
    arms.log.flush()
    arms.completed(short, actual_s=630.0)
    arms.completed(base, actual_s=500.0, after_s=CUT_S)
    arms.completed(slow, actual_s=1000.0, after_s=CUT_S + 1)
    source = arms.source()
    early = source.evidence(arms.rollout, LATER + 59)
    assert total(early, "candidate").labels == total(early, "champion").labels == 0
    evidence = source.evidence(arms.rollout, LATER + 60)
    (cell,) = [cell for cell in evidence.cells if cell.candidate.labels]
    assert cell.at == NOW + CUT_S
    assert (cell.candidate.labels, cell.candidate.abs_error_sum, cell.candidate.abs_error_sumsq) == (1, 30.0, 900.0)
    assert (cell.champion.labels, cell.champion.abs_error_sum) == (1, 100.0)
    assert source.outcomes == {"joined": 2, "late": 1}
    assert source.evidence(arms.rollout, LATER + 300) == arms.source().evidence(arms.rollout, LATER + 300)


def test_an_outcome_of_a_trip_that_was_not_asked_for_is_unknown(arms: Arms) -> None:
    """The request is ours, the trip's id is not; a duplicate is refused where it comes in."""
    record = arms.answer("canary")
    arms.log.flush()
    arms.completed(record, actual_s=700.0, id="z")
    arms.completed(record, actual_s=700.0)
    arms.completed(record, actual_s=800.0)
    source = arms.source()
    candidate = total(source.evidence(arms.rollout, LATER + 60), "candidate")
    assert (candidate.labels, candidate.abs_error_sum) == (1, 100.0)
    assert source.outcomes == {"unknown": 1, "joined": 1}


def test_accuracy_is_of_what_an_arm_gave(arms: Arms) -> None:
    """The heuristic's answer counts where the version failed, and not where its features did."""
    for reason in ("", "model_output_invalid", "features_unavailable"):
        record = arms.answer("canary", fallback=b"\1" if reason else b"", reason=reason)
        arms.completed(record, actual_s=700.0)
    arms.log.flush()
    assert total(arms.source().evidence(arms.rollout, LATER + 60), "candidate").labels == 2


def test_labels_are_the_same_out_of_parquet(arms: Arms) -> None:
    """By then most of the log is compacted."""
    for i in range(5):
        record = arms.answer("canary" if i % 2 else "champion", after_s=i)
        arms.completed(record, actual_s=700.0 + i, event="completed")
    arms.log.close()
    before = arms.source().evidence(arms.rollout, LATER + 60)
    compact(arms.predictions, keep_bytes=EVERYTHING)
    assert arms.source().evidence(arms.rollout, LATER + 60) == before
    assert total(before, "candidate").labels == 2


def test_a_shadow_is_compared_pair_by_pair(tmp_path: Path) -> None:
    """Requests that were mirrored, on both sides the same; its latency is what the caller would have waited."""
    arms = Arms(tmp_path, step=SHADOW_STEP)
    arms.answer()  # not mirrored
    record = arms.mirrored(server_ms=3.0, model_ms=1.0, shadow={"eta_s": 610.0, "model_ms": 9.0})
    failed = {"fallback": b"\1", "reason": "model_error", "model_ms": 0.0, "eta_s": float("nan")}
    broken = arms.mirrored(shadow=failed)
    arms.log.flush()
    arms.completed(record, actual_s=620.0)
    arms.completed(broken, actual_s=620.0)
    evidence = arms.source().evidence(arms.rollout, LATER + 60)
    champion, candidate = total(evidence, "champion"), total(evidence, "candidate")
    assert (champion.requests, champion.errors, candidate.requests, candidate.errors) == (2, 0, 2, 1)
    assert candidate.latency == Histogram.of([11.0])
    assert (champion.labels, champion.abs_error_sum, candidate.labels, candidate.abs_error_sum) == (1, 20.0, 1, 10.0)
    assert (evidence.samples, evidence.units) == (2, (0, 0))
    pairs = evidence.pairs
    assert pairs
    assert (pairs.requests, pairs.trips, pairs.diff_sum, pairs.diff_sumsq) == (2, 1, 10.0, 100.0)
    assert (pairs.timed, pairs.model_diff_sum, pairs.only_shadow_failed) == (1, 8.0, 1)
    assert (pairs.labels, pairs.abs_error_sum, pairs.abs_error_diff_sum) == (1, 20.0, -10.0)
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    assert arms.source().evidence(arms.rollout, LATER + 60) == evidence


def test_an_ab_step_gives_moments_over_units_with_their_history(tmp_path: Path) -> None:
    """A rider's mean error, beside the rider's own before the rollout; who has none stands at the middle."""
    arms = Arms(tmp_path, step=AB_STEP, generation=2)
    arms.clock.advance(-3000.0)
    for unit, error in (("anna", 10.0), ("bert", 50.0)):
        arms.completed(arms.answer(after_s=-3000.0, unit=unit, eta_s=600.0 + error, generation=1), actual_s=600.0)
    arms.log.close()
    arms.clock.advance(3000.0)
    arms.log = arms.replica()
    for unit, arm, errors in (
        ("anna", "champion", (20.0, 40.0)),
        ("bert", "canary", (60.0,)),
        ("new", "canary", (5.0,)),
    ):
        for error in errors:
            arms.completed(arms.answer(arm, after_s=5, unit=unit, eta_s=600.0 + error), actual_s=600.0)
    arms.completed(arms.answer("canary", after_s=6, eta_s=607.0), actual_s=600.0)
    arms.log.flush()
    evidence = arms.source().evidence(arms.rollout, LATER + 60)
    assert evidence.ab
    champion, candidate = evidence.ab
    assert (champion.n, champion.y, champion.yy, champion.x, champion.xy) == (1, 30.0, 900.0, -20.0, -600.0)
    assert (candidate.n, candidate.y, candidate.x, candidate.xx, candidate.xy) == (3, 72.0, 20.0, 400.0, 1200.0)
    assert candidate.yy == 60.0**2 + 5.0**2 + 7.0**2


def test_no_log_is_no_evidence(arms: Arms) -> None:
    """Which the judge hears as NoData: not as minutes without an error."""
    with pytest.raises(Unavailable, match="missing"):
        arms.source().evidence(arms.rollout, NOW + 60)


def test_a_database_that_is_away_is_no_evidence(arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read by then is counted when it is back, once."""
    monkeypatch.setattr("adapters.database._BUSY_MS", 1)
    arms.answer("canary")
    arms.log.flush()
    source, routes = arms.source(), arms.state.route_tables

    def away(*_: Any) -> Any:
        raise Unavailable("state database", "failed", "gone")

    monkeypatch.setattr(arms.state, "route_tables", away)
    for _ in range(2):
        with pytest.raises(Unavailable, match="gone"):
            source.evidence(arms.rollout, NOW + 60)
    monkeypatch.setattr(arms.state, "route_tables", routes)
    assert source.evidence(arms.rollout, NOW + 60).samples == 1


def test_a_database_that_goes_while_labels_are_read_adds_none_twice(
    arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A span's labels are added when all of them are there."""
    arms.log = arms.replica(LogLimits(segments=SegmentLimits(segment_bytes=1)))  # a segment each
    for i in range(3):
        arms.completed(arms.answer("canary", after_s=i), actual_s=700.0)
        arms.log.flush()
    source, outcomes, asked = arms.source(), arms.state.outcomes_between, []

    def failing(first: str, last: str) -> Any:
        asked.append(first)
        if len(asked) == 2:
            raise Unavailable("state database", "failed", "gone")
        return outcomes(first, last)

    monkeypatch.setattr(arms.state, "outcomes_between", failing)
    with pytest.raises(Unavailable, match="gone"):
        source.evidence(arms.rollout, LATER + 60)
    assert total(source.evidence(arms.rollout, LATER + 60), "candidate").labels == 3
    assert source.outcomes == {"joined": 3}


def test_damaged_parquet_is_named(arms: Arms) -> None:
    """Evidence with a hole in it is none."""
    arms.answer()
    arms.log.close()
    compact(arms.predictions, keep_bytes=EVERYTHING)
    (path,) = arms.predictions.glob("parquet/*/*.parquet")
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(Unavailable, match=path.name):
        arms.source().evidence(arms.rollout, NOW + 60)


def test_a_look_has_a_budget(arms: Arms) -> None:
    """Until all is read there is no evidence; each look goes on where the last one ended."""
    for i in range(3):
        arms.answer("canary", after_s=i)
        arms.log.close()
        arms.log = arms.replica()
    source = arms.source(budget_s=0.0)
    for _ in range(3):  # a batch a look
        with pytest.raises(Unavailable, match="catching_up"):
            source.evidence(arms.rollout, NOW + 60)
    assert source.evidence(arms.rollout, NOW + 60).samples == 3


def test_a_part_of_the_labels_is_no_evidence(arms: Arms) -> None:
    """They come in the order of time: what has been read of them says nothing of what is still to be read."""
    for minute in range(0, 120, 30):
        arms.clock.seconds = NOW + 60.0 * minute
        arms.completed(arms.answer("canary", after_s=60.0 * minute), actual_s=650.0)
    arms.log.close()
    late = NOW + 7200 + CUT_S + SETTLE_S
    source, looks = arms.source(budget_s=0.0), list[Evidence]()
    waited = 0
    while not looks:
        try:
            looks.append(source.evidence(arms.rollout, late))
        except Unavailable:
            waited += 1
    assert waited > 1
    assert looks == [arms.source().evidence(arms.rollout, late)]


def test_cells_that_no_guardrail_looks_at_are_let_go(arms: Arms) -> None:
    """When windows are full: a step of weeks takes no more memory than one of hours."""
    source = arms.source()
    for minute in range(40):
        arms.clock.seconds = NOW + 60.0 * minute
        records = [arms.answer("canary", after_s=60.0 * minute) for _ in range(60)]
        arms.completed(*records, actual_s=650.0)
        arms.log.flush()
    evidence = source.evidence(arms.rollout, NOW + 2400 + CUT_S + SETTLE_S)
    assert evidence.samples == 2400
    assert len(evidence.cells) < 30
    assert sum(cell.candidate.labels for cell in evidence.cells) >= 500


def test_the_source_of_a_home(tmp_path: Path) -> None:
    """By its settings: the log's folder, the database, the cut."""
    arms = Arms(tmp_path)
    arms.answer("canary")
    arms.log.flush()
    source = open_evidence(Settings(home=tmp_path, state_url=f"sqlite:///{tmp_path / 'state.db'}"))
    assert source.evidence(arms.rollout, NOW + 60).samples == 1
