"""Compacts the prediction log: one pass, or with --follow whenever there is enough to compact.

A pass that is due runs in a process of its own, which gives back the memory that Parquet takes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from adapters.segment_folder import closed_segments
from contracts.errors import TandemError
from pipelines.layout import Layout
from serving.settings import load_settings

_LOOK_S: Final = 60.0
_DUE_BYTES: Final = 64 << 20
_DUE_S: Final = 600.0
_NICENESS: Final = 19


def due(segments: Sequence[tuple[int, float]], now: float) -> bool:
    """Whether closed segments, as bytes and epoch seconds of their ends, are worth a file: many, or old."""
    return sum(size for size, _ in segments) >= _DUE_BYTES or any(now - at >= _DUE_S for _, at in segments)


def compact(home: Path) -> dict[str, Any]:
    """One pass; returns what it did. Raises Unavailable while another process compacts."""
    from pipelines import compaction  # noqa: PLC0415 - whoever follows needs no Parquet

    keep_bytes = load_settings(os.environ).predictions_mb << 20
    done = compaction.compact(Layout(home).predictions, keep_bytes=keep_bytes)
    return {name: getattr(done, name) for name in done.__struct_fields__}


def follow(home: Path) -> None:
    """Compact whenever it is due, for ever; a pass that fails says why and is tried again."""
    command = [sys.executable, "-m", "pipelines.predictions", "--home", str(home)]
    while True:
        if due(_closed(Layout(home).predictions), time.time()):
            subprocess.run(command, check=False)
        time.sleep(_LOOK_S)


def _closed(folder: Path) -> list[tuple[int, float]]:
    found = []
    for path in closed_segments(folder):
        with contextlib.suppress(FileNotFoundError):  # a pass that somebody started by hand took it
            found.append((path.stat().st_size, path.stat().st_mtime))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m pipelines.predictions [--home DIR] [--follow]`."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.predictions", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("TANDEM_HOME", ".tandem")))
    parser.add_argument("--follow", action="store_true", help=f"look every {_LOOK_S:g} s, for ever")
    arguments = parser.parse_args(argv)
    os.nice(_NICENESS)  # answering comes first
    if arguments.follow:
        follow(arguments.home.resolve())
    try:
        sys.stdout.write(json.dumps({"predictions": compact(arguments.home.resolve())}) + "\n")
    except (TandemError, OSError) as error:
        sys.stderr.write(f"predictions: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
