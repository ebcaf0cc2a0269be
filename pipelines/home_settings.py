"""The settings of a home that a verb was pointed at."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from contracts.errors import NotFound
from serving.settings import Settings, load_settings


def settings_with_state(home: Path) -> Settings:
    """Settings of a home that has served; raises NotFound, where it has not, instead of making it a database."""
    settings = replace(load_settings(os.environ), home=home)
    if not settings.state_url and not (home / "state.db").exists():
        raise NotFound("state database", str(home / "state.db"), "`tandem up` makes it")
    return settings
