"""The comparison of dispatch policies and the study of experiments, on a city of three zones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from contracts.dispatch import Places
from contracts.errors import InvalidInput
from contracts.schema import Floats
from pipelines import cli
from pipelines import simulate as comparison
from pipelines import switchback as study
from pipelines.switchback import difference
from simulation.world import Scenario
from tests.small_city import small_wheel

SHORT = Scenario(scale=2.0, hours=(8.0, 9.0))


class Flat:
    """An hour's drive for everybody; too far to be offered."""

    def seconds(self, origins: Places, destinations: Places, at: float) -> Floats:  # noqa: ARG002 - EtaSource
        """3600 s [n]."""
        return np.full(len(origins), 3600.0)


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No package index: the wheel is written here."""
    wheel = small_wheel(tmp_path / "city.whl")
    for module in (comparison, study):
        monkeypatch.setattr(module, "fetch_wheel", lambda *_, **__: wheel)


def test_policies_meet_the_same_days(tmp_path: Path) -> None:
    """Every policy has its means and its changes against greedy, and a map is drawn."""
    found = comparison.simulate(
        tmp_path,
        policies=["batch_fallback", "batch_oracle"],
        supplies=[1.0, 2.0],
        seeds=[1, 2],
        scenario=SHORT,
        pictures=tmp_path / "maps",
    )
    at_one = found["supply"]["1"]
    assert list(at_one["mean"]) == ["greedy", "batch_fallback", "batch_oracle"]
    assert len({row["requests"] for row in at_one["mean"].values()}) == 1
    assert set(at_one["asked"]["batch_oracle"]) == set(comparison.ASKED)
    assert "asked" not in found["supply"]["2"]
    assert (tmp_path / "maps" / "waits-1.png").is_file()


def test_another_source_of_etas_is_another_policy(tmp_path: Path) -> None:
    """Where every pickup takes an hour by the source, nobody is matched by it."""
    found = comparison.simulate(
        tmp_path, policies=["batch_flat"], supplies=[1.0], seeds=[1], scenario=SHORT, etas={"flat": Flat()}
    )
    assert found["supply"]["1"]["mean"]["batch_flat"]["match_rate"] == 0.0
    assert "against_greedy_percent" not in found["supply"]["1"]


@pytest.mark.parametrize(("options", "field"), [({"policies": ["batch_x"]}, "policies"), ({"seeds": []}, "seeds")])
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: dict[str, list[str]], field: str) -> None:
    """The message names the option and what it may hold."""
    with pytest.raises(InvalidInput, match=field):
        comparison.simulate(tmp_path, **options)


def test_the_study_holds_estimates_against_the_truth(tmp_path: Path) -> None:
    """Both designs are judged on every experiment, against a truth with an interval of its own."""
    found = study.switchback(
        tmp_path,
        experiments=2,
        truths=2,
        scenario=Scenario(scale=3.0, hours=(8.0, 12.0)),
        period_s=1800.0,
        burn_in_s=300.0,
    )
    assert found["truth_s"]["low"] <= found["truth_s"]["mean"] <= found["truth_s"]["high"]
    assert found["estimates"].keys() == {"switchback", "split_by_rider"}
    assert found["estimates"]["switchback"]["of"] == 2


def test_the_interval_of_a_difference_goes_by_clusters() -> None:
    """Twenty equal values in a cluster tell no more than one: the interval is that of the clusters' means."""
    rng = np.random.default_rng(0)
    arm = np.arange(30) % 2
    means = 2.0 * arm + rng.standard_normal(30)
    spread = difference(np.repeat(means, 20), np.repeat(arm, 20), np.repeat(np.arange(30), 20))
    single = difference(means, arm, np.arange(30))
    assert spread.high - spread.low == pytest.approx(single.high - single.low)
    assert spread.low < 2.0 < spread.high


def test_the_students_policy_needs_a_version(tmp_path: Path) -> None:
    """The message names the option."""
    with pytest.raises(InvalidInput, match="batch_student takes the times of a published one"):
        comparison.simulate(tmp_path, policies=["batch_student"])


def test_the_verb_runs_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`tandem simulate dispatch` prints one JSON object; so many drivers are one supply."""
    words = ["simulate", "dispatch", "--json", "--home", str(tmp_path), "--scale", "1", "--hours", "8..8.5"]
    options = ["--drivers", "9", "--supply", "1,2", "--seeds", "1", "--policies", "batch_distance"]
    assert cli.main([*words, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    (supply,) = found["supply"].values()
    assert supply["mean"]["greedy"]["drivers"] == 9.0
    assert list(supply["mean"]) == ["greedy", "batch_distance"]


@pytest.mark.parametrize(
    "words",
    [
        ["--scale", "0"],
        ["--scale", "nan"],
        ["--hours", "11..7"],
        ["--hours", "7"],
        ["--supply", "1,0"],
        ["--seeds", "0"],
        ["--weekday", "5"],
    ],
)
def test_wrong_usage_is_told_by_the_parser(words: list[str]) -> None:
    """Exit status 2."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["simulate", "dispatch", *words])
    assert caught.value.code == 2
