"""Evidence out of real segments, real Parquet and a real database: which arm, which guardrail, once each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import Unavailable
from contracts.predictions import OWN_FAILURES
from model_registry.histogram import Histogram
from pipelines.evidence import open_evidence
from pipelines.matured import SETTLE_S
from serving.eta import Reason
from serving.settings import Settings
from tests.fakes import NOW
from tests.logged_arms import CANARY_STEP, CUT_S, Arms, total, watched

EVERYTHING = 1 << 40
LATER = NOW + CUT_S + SETTLE_S


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


def test_a_controller_that_starts_again_goes_on(arms: Arms, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what it kept: of a step of weeks it reads what is new."""
    kept = {"file": arms.folder / "evidence.msgpack", "save_s": 0.0}
    for i in range(3):
        arms.answer("canary", after_s=i, unit=f"rider-{i}")
    arms.log.flush()
    before = arms.source(**kept).evidence(arms.rollout, NOW + 60)
    seen: list[str] = []
    monkeypatch.setattr("pipelines.answered_rows.SegmentReader", watched(seen))
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
