"""Where a version comes from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from adapters.trips_file import file_sha256


def git_revision() -> str:
    """The revision of this code, ``-dirty`` where files differ from it; ``unknown`` without git or a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # a machine without git has no revision to tell
        return "unknown"
    return found.stdout.strip() or "unknown"


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 by file name."""
    return {file.name: file_sha256(file) for file in sorted(files)}
