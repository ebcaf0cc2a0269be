"""How far the prediction log has been published: bytes of each segment, in a file beside them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

_FILE: Final = "published.json"
HELD_S: Final = 3600.0
"""A segment is not compacted before it is published, for so long: a broker that is away must not fill the disk."""


def read_published(folder: Path) -> dict[str, int]:
    """Bytes by the segments' stems; nothing where nobody has published."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=dict[str, int])
    except (FileNotFoundError, msgspec.MsgspecError):
        return {}


def write_published(folder: Path, positions: Mapping[str, int]) -> None:
    """Note positions, whole or not at all."""
    partial = folder / f"{_FILE}.partial"
    partial.touch(mode=0o600)
    partial.write_bytes(msgspec.json.encode(positions))
    partial.replace(folder / _FILE)


def held(folder: Path, segment: Path, now: float | None = None) -> bool:
    """Whether a closed segment is to wait for its publication; not where nobody has published anything lately."""
    now = time.time() if now is None else now
    try:
        found, alive = segment.stat(), (folder / _FILE).stat().st_mtime
    except FileNotFoundError:
        return False
    if now - max(found.st_mtime, 0.0) > HELD_S or now - alive > HELD_S:
        return False
    return read_published(folder).get(segment.stem, 0) < found.st_size


def forget_published(folder: Path) -> None:
    """Nobody publishes any more: nothing is held."""
    (folder / _FILE).unlink(missing_ok=True)


def touch(folder: Path) -> None:
    """Say that somebody publishes, though there was nothing new."""
    if (folder / _FILE).exists():
        os.utime(folder / _FILE)
