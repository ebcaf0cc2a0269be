"""What a version says of its origin."""

from __future__ import annotations

import pytest

from pipelines.lineage import git_revision


def test_without_git_the_revision_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git trains all the same."""
    monkeypatch.setenv("PATH", "")
    assert git_revision() == "unknown"
