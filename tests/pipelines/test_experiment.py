"""The read-out of an A/B test: out of real logs and outcomes, in JSON, text and HTML, without what confounds it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.ledger import Ledger
from contracts.errors import DataRefused, InvalidInput, NotFound
from contracts.local_time import DAY_S
from contracts.messages import Outcome
from model_registry.lifecycle import Phase
from model_registry.records import Records
from pipelines import cli
from pipelines.compaction import compact
from pipelines.experiment import report
from pipelines.experiment_plan import plan_test
from pipelines.layout import Layout
from pipelines.matured import SETTLE_S
from tests.fakes import NOW, write_tiny_zones
from tests.logged_arms import AB_STEP, SHADOW_STEP, Arms, answered

RIDERS = 400
CUT_S = 3600.0  # the settings' own
END = NOW + 2 * CUT_S


class Ran:
    """Riders who asked twice before the rollout and twice in it; the candidate is a tenth better."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.arms = Arms(home, step=AB_STEP, generation=2)
        self.rollout = self.arms.rollout
        self.outcomes: list[Outcome] = []

    def run(self) -> None:
        """Log everything, and store the rollout."""
        draw = random.Random(3)
        own = [draw.uniform(60, 240) for _ in range(RIDERS)]
        self.arms.clock.advance(-1500.0)
        for rider in range(RIDERS):
            for _ in range(2):
                self._trip(rider, "champion", -1400.0 + rider, own[rider] * draw.uniform(0.8, 1.2), generation=1)
        self.arms.log.close()
        self.arms.clock.advance(1500.0)
        self.arms.log = self.arms.replica()
        for rider in range(RIDERS):
            arm = "canary" if rider % 2 else "champion"
            for _ in range(2):
                error = own[rider] * draw.uniform(0.8, 1.2) * (0.9 if rider % 2 else 1.0)
                self._trip(rider, arm, 1.0 + rider / 2, error, generation=2)
        self.arms.log.close()
        self.arms.state.add_outcomes(self.outcomes, NOW + 900)
        compact(self.arms.predictions, keep_bytes=1 << 40)

    def store(self, **changes: Any) -> None:
        """The rollout as the controller would have left it."""
        ledger = Ledger(f"sqlite:///{self.home / 'state.db'}")
        rollout = msgspec.structs.replace(self.rollout, **changes)
        Records(ledger).create(rollout, [])
        ledger.close()

    def _trip(self, rider: int, arm: str, after_s: float, error: float, *, generation: int) -> None:
        record = answered(
            arm,
            NOW + after_s,
            600.0 + error,
            unit=f"rider-{rider}",
            generation=generation,
            pickup=["1" if rider % 3 else "3"],
        )
        self.arms.log.append(record)
        events = [("booked", None)] + ([("cancelled", None)] if rider % 7 == 0 else [("completed", 600.0)])
        for event, actual in events if rider % 5 else []:
            words: dict[str, Any] = {} if actual is None else {"actual_s": actual}
            at = datetime.fromtimestamp(record.at + 700, UTC)
            self.outcomes.append(Outcome(request_id=record.request_id, id="a", event=event, at=at, **words))


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    """One that is over."""
    made = Ran(tmp_path)
    made.run()
    return made


def test_the_effect_is_found_with_its_interval(ran: Ran) -> None:
    """A tenth less error; the riders' history takes most of the variance out; the split was even."""
    ran.store(phase=Phase.SUCCEEDED, since=NOW + 1800)
    result = report(ran.home, "eta-1", now=END)
    error = result["metrics"]["abs_error_s"]
    assert error["verdict"] == "better"
    assert -14 < error["percent"] < -6
    assert error["low"] < error["difference"] < error["high"] < 0
    assert error["variance_left"] < 0.3
    assert error["units_champion"] + error["units_candidate"] == 274
    assert (result["champion"], result["candidate"], result["percent"]) == ("eta@1", "eta@2", 50.0)
    assert set(result["metrics"]) == {"abs_error_s", "latency_ms", "conversion", "cancellation"}
    assert result["metrics"]["conversion"]["champion"] == pytest.approx(0.8)
    assert result["metrics"]["latency_ms"]["units_champion"] == RIDERS / 2
    assert result["outcomes"] == {"joined": 2 * 2 * 320, "late": 0, "unknown": 0}
    assert result["alarms"] == []


def test_confounders_are_taken_out(ran: Ran) -> None:
    """Within hours and boroughs, and against the riders' own past; each says of how many units it is."""
    zones = Layout(ran.home).zones
    zones.parent.mkdir()
    write_tiny_zones(zones)
    ran.store(phase=Phase.SUCCEEDED, since=NOW + 1800)
    adjusted = report(ran.home, "eta-1", now=END)["adjusted"]["abs_error_s"]
    assert list(adjusted) == [
        "within hours, 100 % of units",
        "within weekdays, 100 % of units",
        "within boroughs, 100 % of units",
        "against its own past, 100 % of units",
    ]
    own = adjusted["against its own past, 100 % of units"]
    assert -25 < own["difference"] < -7
    assert own["se"] < adjusted["within hours, 100 % of units"]["se"]


def test_the_verb_prints_and_writes(ran: Ran, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """Text for people, one JSON object, one page."""
    ran.store(phase=Phase.SUCCEEDED, since=NOW + 1800)
    monkeypatch.setattr("pipelines.experiment.time.time", lambda: END)
    page = ran.home / "report.html"
    assert cli.main(["experiment", "report", "eta-1", "--home", str(ran.home), "--html", str(page)]) == 0
    text = capsys.readouterr().out
    assert "eta-1: eta@2 against eta@1" in text
    assert "abs_error_s: better" in text
    assert "within hours" in text
    assert "<svg" in page.read_text()
    assert cli.main(["experiment", "report", "eta-1", "--home", str(ran.home), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metrics"]["abs_error_s"]["verdict"] == "better"
    assert "text" not in result


def test_a_test_is_sized_from_what_riders_did(ran: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    """Their errors' spread, and how much of it their own past explains; the rollout's candidate is left out."""
    days, now = 850 / DAY_S, NOW + 250 + CUT_S + SETTLE_S
    sized = plan_test(ran.home, metric="abs_error_s", change=-5.0, days=days, now=now)
    assert sized["baseline"] == pytest.approx(150, rel=0.1)
    assert sized["correlation_with_history"] > 0.85
    assert sized["per_arm_with_history"] < 0.3 * sized["per_arm"]
    assert sized["weeks"] == 1
    assert cli.main(["experiment", "plan", "--change", "0", "--home", str(ran.home), "--json"]) == 1
    assert "not 0" in json.loads(capsys.readouterr().out)["message"]
    for words in ({"metric": "fun"}, {"split": 100.0}, {"power": 1.0}, {"days": 0.0}, {"change": float("nan")}):
        arguments: dict[str, Any] = {"metric": "abs_error_s", "change": 3.0, **words}
        with pytest.raises(InvalidInput, match=next(iter(words))):
            plan_test(ran.home, **arguments)
    with pytest.raises(DataRefused, match="needs 30"):
        plan_test(ran.home, metric="abs_error_s", change=3.0, now=NOW - DAY_S)


def test_what_can_not_be_reported_says_why(ran: Ran, tmp_path: Path) -> None:
    """No such rollout, one that never began, one whose answers are too young."""
    with pytest.raises(NotFound, match="eta-9"):
        report(ran.home, "eta-9", now=END)
    with pytest.raises(NotFound, match="tandem up"):
        report(tmp_path / "elsewhere", "eta-1", now=END)
    ran.store()
    with pytest.raises(DataRefused, match="TANDEM_LABEL_CUT_S"):
        report(ran.home, "eta-1", now=NOW + 600)
    ran.rollout = msgspec.structs.replace(ran.rollout, id="eta-2", step=-1, phase=Phase.ABORTED)
    ran.store(reason="not today")
    with pytest.raises(DataRefused, match="had no traffic: not today"):
        report(ran.home, "eta-2", now=END)


def test_a_shadow_is_read_out_in_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """How far apart the answers are, which is nearer, how much longer the model takes, and who failed."""
    ran = Ran(tmp_path)
    ran.arms = Arms(tmp_path / "shadow", step=SHADOW_STEP)
    ran.home, ran.rollout = tmp_path / "shadow", ran.arms.rollout
    ran.store()
    for i in range(10):
        record = ran.arms.mirrored(after_s=i, eta_s=650.0 + i, shadow={"eta_s": 640.0, "model_ms": 3.0})
        ran.arms.completed(record, actual_s=600.0)
    ran.arms.log.close()
    monkeypatch.setattr("pipelines.experiment.time.time", lambda: END)
    assert cli.main(["experiment", "report", "eta-1", "--home", str(ran.home), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["champion"], result["shadow"], result["requests"]) == ("eta@1", "eta@2", 10)
    assert result["answers"]["difference_s"] == -14.5
    assert result["accuracy"]["champion_mae_s"] == 54.5
    assert result["accuracy"]["difference_s"] == -14.5
    assert 0 < result["accuracy"]["plus_minus_s"] < 3
    assert result["model_time_difference_ms"] == pytest.approx(2.0)
    assert cli.main(["experiment", "report", "eta-1", "--home", str(ran.home)]) == 0
    assert "difference_s" in capsys.readouterr().out
