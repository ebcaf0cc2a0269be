"""The controller's small world, closed after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model_registry.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with version 1 as the champion."""
    made = World(tmp_path)
    yield made
    made.close()
