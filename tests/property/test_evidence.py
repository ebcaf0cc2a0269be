"""Evidence does not depend on when, how often or in what order things come, nor on where the log lies by then."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.prediction_segments import frame
from contracts.answered import Answered
from contracts.outcomes import KeptOutcome
from contracts.predictions import Prediction
from model_registry.maturity import Fate, Join
from pipelines.compaction import compact
from pipelines.matured import SETTLE_S
from pipelines.step_evidence import PAIR_S
from tests.fakes import NOW
from tests.logged_arms import AB_STEP, CANARY_STEP, CUT_S, SHADOW_STEP, Arms, answered

LAST_S = 150.0  # within what a shadow may lag behind
assert LAST_S < PAIR_S
END = NOW + LAST_S + CUT_S + SETTLE_S + 60.0

whole_seconds = st.integers(0, int(LAST_S)).map(float)
FAILURES = (
    {},
    {},
    {"fallback": b"\1", "reason": "model_error", "model_ms": 0.0},
    {"fallback": b"\1", "reason": "features_timeout", "model_ms": 0.0},
)


class Tier(Arms):
    """Three replicas' logs."""

    def __post_init__(self) -> None:
        """Begin all."""
        super().__post_init__()
        self.predictions.mkdir()
        self.replicas = [self.replica() for _ in range(3)]


@st.composite
def answers(draw: st.DrawFn) -> Callable[[Tier], None]:
    """One answer in one replica's log, with its shadow in that step, and perhaps its outcome, early, late or twice."""
    replica, arm = draw(st.integers(0, 2)), draw(st.sampled_from(["champion", "canary"]))
    after_s, eta_s = draw(whole_seconds), draw(st.sampled_from([300.0, 512.5, 900.0]))
    changes: dict[str, Any] = dict(draw(st.sampled_from(FAILURES)))
    if unit := draw(st.sampled_from(["", "anna", "bert", "cleo"])):
        changes["unit"] = unit
    reports = draw(st.lists(st.sampled_from([30.0, CUT_S, CUT_S + 0.001]), max_size=2))
    actual_s = draw(st.sampled_from([300.0, 333.25, 800.0]))

    def happen(arms: Tier) -> None:
        arms.log = arms.replicas[replica]
        if arms.step == SHADOW_STEP:
            record = arms.mirrored(after_s=after_s, shadow={"eta_s": eta_s, **changes})
        else:
            record = arms.answer(arm, after_s=after_s, eta_s=eta_s, **changes)
        for delay in reports:
            arms.completed(record, actual_s=actual_s, after_s=delay)

    return happen


def flush(arms: Tier) -> None:
    """What waits in memory reaches the open segments."""
    for log in arms.replicas:
        log.flush()


def rotate(arms: Tier) -> None:
    """All segments are closed, and others begun."""
    for log in arms.replicas:
        log.close()
    arms.replicas = [arms.replica() for _ in range(3)]


def compacted(arms: Tier) -> None:
    """What is closed becomes Parquet."""
    compact(arms.predictions, keep_bytes=1 << 40)


def tear(arms: Tier) -> None:
    """Replicas die in the middle of a write."""
    for path in arms.predictions.glob("*.open"):
        with path.open("ab") as segment:
            segment.write(frame(b"a record that never was whole")[:-3])
    rotate(arms)


events = st.one_of(answers(), answers(), answers(), st.sampled_from([flush, rotate, compacted, tear, "look", "die"]))


@pytest.mark.parametrize("step", [SHADOW_STEP, CANARY_STEP, AB_STEP])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(happened=st.lists(events, max_size=25))
def test_looking_often_is_looking_once(step: int, happened: list[Any]) -> None:
    """Whatever happens between looks, to the log or to the controller, the last one says what one alone would."""
    with tempfile.TemporaryDirectory() as name:
        arms = Tier(Path(name), step=step)
        kept = {"file": arms.folder / "evidence.msgpack", "save_s": 0.0}
        source = arms.source(**kept)
        for i, event in enumerate(happened):
            if event == "look":
                source.evidence(arms.rollout, NOW + LAST_S + i)
            elif event == "die":
                source = arms.source(**kept)
            else:
                event(arms)
        rotate(arms)
        often = source.evidence(arms.rollout, END)
        assert often == arms.source().evidence(arms.rollout, END)
        compacted(arms)
        assert often == source.evidence(arms.rollout, END)
        assert often == arms.source().evidence(arms.rollout, END)
        arms.state.close()


TRIPS = ["a", "b", "c"]


@st.composite
def reported(draw: st.DrawFn) -> list[KeptOutcome]:
    """What the database may hold of a request: each event of a trip once."""
    kept = draw(
        st.lists(
            st.tuples(st.sampled_from([*TRIPS, "z"]), st.sampled_from(["booked", "cancelled", "completed"])),
            unique=True,
        )
    )
    times = st.sampled_from([NOW + 1, NOW + CUT_S, NOW + CUT_S + 1e-3])
    return [KeptOutcome("r", trip, event, 700.0 if event == "completed" else None, draw(times)) for trip, event in kept]


@given(reported(), st.randoms(use_true_random=False))
def test_fates_do_not_depend_on_order(outcomes: list[KeptOutcome], random: Any) -> None:
    """Every outcome is joined, late or unknown; the same ones whatever their order."""
    one = Answered.of(_three_trips())
    join, other = Join(CUT_S), Join(CUT_S)
    fates = join.fates(one, {"r": outcomes})
    shuffled = random.sample(outcomes, len(outcomes))
    assert other.fates(one, {"r": shuffled, "s": outcomes}) == fates
    assert other.counts == join.counts
    assert join.counts.total() == len(outcomes)
    in_time = {(o.id, o.event) for o in outcomes if o.received_at <= NOW + CUT_S}
    assert fates == [
        Fate(
            any((trip, event) in in_time for event in ("booked", "cancelled", "completed")),
            (trip, "cancelled") in in_time,
            700.0 if (trip, "completed") in in_time else None,
        )
        for trip in TRIPS
    ]


@given(reported(), st.floats(0, CUT_S - 1))
def test_a_longer_cut_only_adds(outcomes: list[KeptOutcome], shorter: float) -> None:
    """What was joined at one age is joined at every greater one."""
    one = Answered.of(_three_trips())
    early, late = Join(shorter), Join(CUT_S)
    for before, after in zip(early.fates(one, {"r": outcomes}), late.fates(one, {"r": outcomes}), strict=True):
        assert before.booked <= after.booked
        assert before.actual_s in {None, after.actual_s}
    assert early.counts["joined"] <= late.counts["joined"]
    assert early.counts["unknown"] == late.counts["unknown"]


def _three_trips() -> Prediction:
    answers = answered("canary", NOW, 600.0).answers * 3
    return answered("canary", NOW, 600.0, request_id="r", ids=TRIPS, answers=answers)
