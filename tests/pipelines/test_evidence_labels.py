"""Labels as evidence: at one age in both arms, by pairs under a shadow, by units in an A/B step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.segment_writer import SegmentLimits
from contracts.errors import Unavailable
from model_registry.evidence import Evidence
from model_registry.histogram import Histogram
from pipelines.compaction import compact
from pipelines.matured import SETTLE_S
from serving.prediction_log import LogLimits
from tests.fakes import NOW
from tests.logged_arms import AB_STEP, CUT_S, SHADOW_STEP, Arms, total

EVERYTHING = 1 << 40
LATER = NOW + CUT_S + SETTLE_S


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
