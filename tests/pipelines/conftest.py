"""What several tests of pipelines stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.logged_arms import Arms


@pytest.fixture
def arms(tmp_path: Path) -> Arms:
    """A canary step."""
    return Arms(tmp_path)
