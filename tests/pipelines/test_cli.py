"""The command line's manners: exit status, JSON, words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.errors import NotFound
from pipelines import cli

BAD_WORDS = [
    ["data", "sample", "--seed", "-1"],
    ["data", "sample", "--start", "2018-04-03"],
    ["data", "tlc", "--from", "x", "--months", "2020-13"],
    ["data", "tlc", "--from", "x", "--months", "2020-09..2020-08"],
    ["train", "--seed", "2147483648"],
    ["replay"],
    ["replay", "--trips", "x", "--rate", "0x"],
    ["replay", "--trips", "x", "--rate", "fast"],
    ["replay", "--trips", "x", "--request", "y"],
    ["replay", "--trips", "x", "--for", "-1"],
]


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


@pytest.mark.parametrize("words", [[], ["fly"], ["data"], ["publish"], ["publish", "--version", "0"], *BAD_WORDS])
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


ZONES = "LocationID,zone,borough,lon,lat\n74,East Harlem North,Manhattan,-73.93,north\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "--home", "{junk}"], "junk.parquet is a file, expected a folder"),
        (["data", "sample", "--weeks", "521"], "weeks: 521, expected at most 520"),
        (["data", "sample", "--start", "9999-12-27"], "start: 9999-12-27, expected a day of the years 1970 to 2100"),
        (["train", "--source", "{junk}"], "junk.parquet: not a Parquet file"),
        (
            ["data", "tlc", "--from", "ftp://x/y", "--months", "2020-08"],
            "'ftp://x/y/taxi_zone_centroids.csv', expected",
        ),
        (["data", "tlc", "--from", "{folder}", "--months", "2020-08"], "column lat: found object, expected numbers"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 and the place, whatever library stumbled over it."""
    (tmp_path / "junk.parquet").write_text("root:x:0:0")
    (tmp_path / "taxi_zone_centroids.csv").write_text(ZONES)
    places = {"junk": tmp_path / "junk.parquet", "folder": tmp_path}
    home = [] if "--home" in words else ["--home", str(tmp_path / "home")]
    assert cli.main([*(word.format(**places) for word in words), *home]) == 1
    assert message in capsys.readouterr().err


def test_an_error_of_the_system_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk, say: the place and the reason."""

    def fail(*_: object, **__: object) -> dict[str, object]:
        raise OSError(28, "No space left on device", "data/trips.parquet")

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main(["publish", "--version", "1"]) == 1
    assert capsys.readouterr().err == "tandem: data/trips.parquet: No space left on device\n"


def test_the_doctor_names_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And goes on with the other checks."""
    monkeypatch.setenv("TANDEM_GRPC_PORT", "abc")
    assert cli.main(["doctor", "--json", "--home", str(tmp_path)]) == 1
    checks = {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "TANDEM_GRPC_PORT='abc'" in checks["settings"]["found"]
    assert checks["python"]["status"] == "ok"
