"""Metrics of the stack's other processes, for `/metrics`: each writes a file of its name, the replicas read them all.

A process that died leaves its last numbers; each says when that was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from serving.metric_cells import Family

_ENDING: Final = ".metrics.json"
_DECODE: Final = msgspec.json.Decoder(list[Family]).decode


def write_component(folder: Path, name: str, families: list[Family]) -> None:
    """Put what a component counts where `read_components` finds it."""
    write_whole(folder / f"{name}{_ENDING}", msgspec.json.encode(families))


def read_component(folder: Path, name: str) -> list[Family]:
    """What one component said last; nothing before the first time."""
    return _read(folder / f"{name}{_ENDING}")


def read_components(folder: Path) -> list[Family]:
    """What all of them said last; their families have names of their own."""
    return [family for path in sorted(folder.glob(f"*{_ENDING}")) for family in _read(path)]


def write_whole(path: Path, content: bytes) -> None:
    """Write a private file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.replace(path)


def _read(path: Path) -> list[Family]:
    try:
        return _DECODE(path.read_bytes())
    except (FileNotFoundError, msgspec.MsgspecError):
        return []
