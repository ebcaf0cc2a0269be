"""The command line's manners: exit status, JSON, words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import NotFound
from pipelines import cli


def test_a_verb_prints_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` gives one object on stdout and nothing else."""
    status = cli.main(["doctor", "--json", "--home", str(tmp_path)])
    result = json.loads(capsys.readouterr().out)
    assert status == (0 if result["ok"] else 1)
    assert {"check", "status", "found", "mend"} == result["checks"][0].keys()


def test_a_verb_prints_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without `--json` the same result is readable."""
    cli.main(["doctor", "--home", str(tmp_path)])
    assert "python" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["fly"], ["data"], ["publish"], ["publish", "--version", "0"]])
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The parser's own status, and a line that says what is wrong."""
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [True, False])
def test_an_explained_failure_exits_with_1(
    *, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A domain error is a sentence, not a traceback."""

    def fail(*_: object, **__: object) -> dict[str, object]:
        raise NotFound("version", "9", "published are 1 and 2")

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main(["publish", "--version", "9", *(["--json"] if as_json else [])]) == 1
    out, err = capsys.readouterr()
    assert "version '9' not found; published are 1 and 2" in (json.loads(out)["message"] if as_json else err)
