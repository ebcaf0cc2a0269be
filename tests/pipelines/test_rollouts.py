"""The verbs of rollouts, flags and tokens, as an operator types them, over a home's real database and registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contracts.clock import SystemClock
from contracts.roles import Actor
from model_registry.admin import Admin
from pipelines import cli, rollouts
from pipelines.rollout_store import opened, published
from serving.settings import Settings
from tests.rollout_home import POLICY, rollout_home

Tandem = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 serves; 2 and 3 are published."""
    home = tmp_path_factory.mktemp("home")
    rollout_home(home, versions=3)
    (home / "policy.yaml").write_text(POLICY)
    return home


@pytest.fixture
def tandem(home: Path, capsys: pytest.CaptureFixture[str]) -> Tandem:
    """Run a verb with `--json`; returns its object, which holds the exit status as `status` where that is not 0."""

    def run(*words: str) -> dict[str, Any]:
        status = cli.main([*words, "--json", "--home", str(home)])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found | ({"status": status} if status else {})

    return run


def policy(home: Path) -> list[str]:
    """The words that name a policy of seconds."""
    return ["--policy", str(home / "policy.yaml")]


def test_an_operators_day(home: Path, tandem: Tandem) -> None:
    """Start, a second start, pause, resume; another, promoted and taken back; the log has all of it, verified."""
    before = tandem("rollout", "history")["verified"]
    begun = tandem("rollout", "start", "--version", "2", *policy(home), "--reason", "better")
    name = begun["rollout"]["id"]
    assert begun["controller"] is None
    again = tandem("rollout", "start", "--version", "3")
    assert (again["status"], again["error"]) == (1, "Refused")
    assert f"rollout {name} is Pending" in again["message"]
    assert tandem("rollout", "pause", "--reason", "lunch")["rollout"]["phase"] == "Paused"
    assert tandem("rollout", "resume")["rollout"]["phase"] == "Pending"
    assert tandem("rollout", "approve")["error"] == "IllegalTransition"
    instead = tandem("rollout", "start", "--version", "3", *policy(home), "--replace")["rollout"]["id"]
    assert tandem("rollout", "status", name)["rollout"]["phase"] == "Aborted"
    assert tandem("rollout", "promote", "--reason", "now")["rollout"]["phase"] == "Succeeded"
    assert tandem("rollout", "status")["champion"] == 3
    assert tandem("rollout", "rollback", instead)["rollout"]["phase"] == "RolledBack"
    found = tandem("rollout", "history")
    assert tandem("rollout", "status")["champion"] == 1
    acts = ["start", "pause", "resume", "abort", "start", "promote", "Succeeded", "rollback", "RolledBack"]
    assert [entry["action"] for entry in found["journal"]][-len(acts) :] == acts
    assert found["verified"] == before + len(acts)
    assert "@" in found["journal"][-2]["actor"]
    one = tandem("rollout", "history", instead, "--limit", "2")["journal"]
    assert [(entry["subject"], entry["action"]) for entry in one] == [(instead, "rollback"), (instead, "RolledBack")]


def test_flags(tandem: Tandem) -> None:
    """What is set is listed, and in the route table when the verb returns."""
    assert tandem("flag", "list")["flags"] == {"kill_switch": False, "freeze": False, "enabled.eta": True}
    tandem("flag", "set", "enabled.eta", "off", "--reason", "licence")
    assert tandem("rollout", "status")["fallback_only"]
    assert tandem("flag", "list")["flags"]["enabled.eta"] is False
    tandem("flag", "set", "enabled.eta", "on", "--reason", "renewed")
    assert not tandem("rollout", "status")["fallback_only"]
    tandem("flag", "set", "freeze", "on", "--reason", "new year")
    assert "frozen by a flag" in tandem("rollout", "start", "--version", "2")["message"]
    tandem("flag", "set", "freeze", "off", "--reason", "2027")


def test_tokens(home: Path, tandem: Tandem) -> None:
    """A token is shown once and is good until it is revoked."""
    made = tandem("token", "create", "olga", "--role", "operator", "--days", "2")["token"]
    (listed,) = tandem("token", "list")["tokens"]
    assert (listed["name"], listed["role"], listed["valid"]) == ("olga", "operator", True)
    assert made not in json.dumps(tandem("rollout", "history"))
    settings = Settings(home=home)
    with opened(settings) as (ledger, state):
        admin = Admin(ledger, state, published(settings), SystemClock())
        assert admin.actor(made) == Actor("olga", "operator")
        tandem("token", "revoke", "olga", "--reason", "left")
        assert admin.actor(made) is None
    assert "there are olga" in tandem("token", "revoke", "eve")["message"]


@pytest.mark.parametrize(
    "words",
    [
        ["rollout"],
        ["rollout", "start"],
        ["rollout", "start", "--version", "0"],
        ["rollout", "fly"],
        ["rollout", "history", "--limit", "0"],
        ["rollout", "history", "--limit", "10001"],
        ["flag", "set", "kill_switch", "maybe", "--reason", "x"],
        ["flag", "set", "kill_switch", "on"],
        ["token", "create", "olga", "--role", "god"],
        ["token", "create", "olga", "--role", "viewer", "--days", "0"],
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The parser says which word."""
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rollout", "status", "eta-99"], "rollout 'eta-99' not found"),
        (["rollout", "pause", "eta-99"], "rollout 'eta-99' not found"),
        (["rollout", "start", "--version", "9"], "artifact 'eta@9' not found; published: eta@1, eta@2, eta@3"),
        (["rollout", "start", "--version", "1"], "version 1 of eta is the champion already"),
        (["rollout", "start", "--version", "2", "--policy", "{home}/none.yaml"], "none.yaml: No such file"),
        (["rollout", "start", "--version", "2", "--policy", "{home}/latin.yaml"], "latin.yaml is not UTF-8 (byte 7)"),
        (["rollout", "start", "--version", "2", "--policy", "{home}/other.yaml"], "there is no model 'tip'"),
        (["rollout", "start", "--version", "2", "--reason", "a\nb"], "reason: must be 1 to 500 printable characters"),
        (["rollout", "start", "--version", "2", "--reason", "x" * 501], "reason: must be 1 to 500 printable"),
        (["flag", "set", "kil_switch", "on", "--reason", "x"], "'kil_switch' is none of kill_switch, freeze, enabled."),
        (["flag", "set", "enabled.tip", "off", "--reason", "x"], "there is no model 'tip', there is eta"),
        (["token", "create", "Olga", "--role", "viewer"], "'Olga' must be 1 to 63"),
    ],
)
def test_what_is_wrong_is_a_sentence(home: Path, tandem: Tandem, words: list[str], message: str) -> None:
    """Exit status 1 and the name, the value and what there is; nothing has changed."""
    (home / "latin.yaml").write_bytes(b"model: \xe9ta")
    (home / "other.yaml").write_text(POLICY.replace("model: eta", "model: tip"))
    before = tandem("rollout", "history")["verified"]
    found = tandem(*(word.format(home=home) for word in words))
    assert found["status"] == 1
    assert message in found["message"]
    assert tandem("rollout", "history")["verified"] == before


def test_a_home_without_state_is_told_what_makes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And none is made by asking."""
    assert cli.main(["rollout", "status", "--home", str(tmp_path / "new")]) == 1
    assert "has no state yet: `tandem up` makes it" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_watching_says_each_change_and_ends_with_the_rollout(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a change on stderr; `ok` is whether it succeeded, and so is the exit status."""
    name = rollouts.start(home, version=2, policy=home / "policy.yaml")["rollout"]["id"]
    acts = iter(["pause", None, "resume", "abort"])

    def wait(_: float) -> None:
        if verb := next(acts):
            rollouts.act(home, verb, reason=f"{verb} it")  # type: ignore[arg-type]

    found = rollouts.watch(home, wait=wait)
    assert (found["ok"], found["rollout"]["phase"]) == (False, "Aborted")
    lines = [line.split(" ", 2)[1:] for line in capsys.readouterr().err.splitlines()]
    assert [line[0] for line in lines] == [name] * 4
    words = ["Pending, step 0 of 3, 0 %: no reason given", "Paused, step 0 of 3, 0 %: pause it"]
    assert [line[1] for line in lines][:2] == words
    assert lines[3][1] == "Aborted, step 0 of 3, 0 %: abort it"
    assert cli.main(["rollout", "status", "--watch", "--home", str(home)]) == 1


def test_a_changed_log_fails_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever edited the database is found by the chain; the verb names the entry."""
    rollout_home(tmp_path)
    assert cli.main(["flag", "set", "freeze", "on", "--reason", "x", "--home", str(tmp_path)]) == 0
    assert cli.main(["flag", "set", "freeze", "off", "--reason", "y", "--home", str(tmp_path)]) == 0
    assert cli.main(["rollout", "history", "--home", str(tmp_path)]) == 0
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE journal SET actor = 'eve' WHERE seq = 1"))
    engine.dispose()
    capsys.readouterr()
    assert cli.main(["rollout", "history", "--home", str(tmp_path)]) == 1
    assert "journal entry 1: does not fit its hash" in capsys.readouterr().err


def test_tables_for_people(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--json` the log is a table without hashes, and a rollout's verdicts are rows."""
    assert cli.main(["flag", "set", "freeze", "off", "--reason", "for the table", "--home", str(home)]) == 0
    capsys.readouterr()
    assert cli.main(["rollout", "history", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "for the table" in line)
    assert row.split()[0].isdigit()
    assert cli.main(["rollout", "status", "--home", str(home)]) == 0
    assert "none runs: nothing moves on by itself" in capsys.readouterr().out
    assert "hash" not in out
