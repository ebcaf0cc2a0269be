"""Models of the small world, made once."""

from __future__ import annotations

import lightgbm as lgb
import pytest

from tests.training.small_world import OFFSET, SMALL, Exported, draw, export
from training.export import Head
from training.trees import Examples, fit_trees


@pytest.fixture(scope="session")
def examples() -> Examples:
    """Three thousand trips."""
    return draw(3000)


@pytest.fixture(scope="session")
def exported(examples: Examples) -> Exported:
    """A small model relative to its reference."""
    raw = fit_trees(examples, SMALL, offset=OFFSET, seed=1)
    # Read back from text: a model fresh from training knows its objective by a name the converter does not take.
    return export(lgb.Booster(model_str=raw.model_to_string()), Head(0.8, 1.3, OFFSET))
