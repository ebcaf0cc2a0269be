"""Work that runs in processes of its own."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from pipelines.chores import Asked, Chore, Hourly


def until_done(chore: Chore) -> None:
    """Look until nothing runs."""
    deadline = time.monotonic() + 20
    while True:
        chore.look(0.0)
        if chore._process is None:
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_at_a_time_and_again_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for twice while it runs, it runs once more; a failure is counted and no end."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    runs = tmp_path / "runs"
    (tmp_path / "chore_of_a_test.py").write_text(
        f"import sys\nopen({str(runs)!r}, 'a').write('x')\nsys.exit(open({str(runs)!r}).read() == 'x')\n"
    )
    asked = Asked()
    chore = Chore("chore_of_a_test", asked)
    chore.look(0.0)
    assert chore._process is None
    asked.ask()
    chore.look(0.0)
    assert chore._process is not None
    asked.ask()
    asked.ask()
    until_done(chore)
    assert runs.read_text() == "xx"
    assert chore.failures == 1


def test_one_that_failed_is_due_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute later, though nobody asks again; once it succeeds there is no more of it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    there = tmp_path / "there"
    (tmp_path / "failing_chore.py").write_text(f"import os, sys\nsys.exit(not os.path.exists({str(there)!r}))\n")
    asked = Asked()
    chore = Chore("failing_chore", asked)
    asked.ask()
    until_done(chore)
    chore.look(0.0)
    until_done(chore)
    there.touch()
    chore.look(29.0)
    assert (chore.failures, chore._process) == (1, None)
    chore.look(31.0)
    until_done(chore)
    chore.look(1e6)
    assert (chore.failures, chore._process) == (1, None)


def test_it_ends_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped where it runs, and nothing where it does not."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "endless_chore.py").write_text("import time\ntime.sleep(600)\n")
    chore = Chore("endless_chore", lambda _: True)
    chore.stop()
    chore.look(0.0)
    assert chore._process is not None
    chore.stop()
    assert chore._process.returncode is not None
    assert sys.executable in chore._process.args


def test_once_an_hour_after_the_start() -> None:
    """A minute after the start, then six minutes into each hour, where there is anything to do."""
    there = [True]
    due = Hourly(lambda: there[0], began=7200.0)
    assert [due(at) for at in (7200.0, 7259.0, 7260.0, 7261.0, 11_100.0, 11_160.0, 11_170.0)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    there[0] = False
    assert not due(18_000.0)
