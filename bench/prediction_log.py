"""Exact model times out of a home's prediction log."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

READER = "adapters.prediction_segments"
MARK = b"\xc1TP\n"


def model_ms(home: Path, since: float = 0.0) -> np.ndarray:
    """Model times [n] in ms of the answers since `since` (epoch seconds); empty where the home keeps no log."""
    try:
        reader = importlib.import_module(READER)
    except ImportError:  # a release without the log
        return np.empty(0)
    times: list[float] = []
    for path in sorted(home.rglob("*")):
        if path.suffix not in (".open", ".log") or not path.is_file():
            continue
        with path.open("rb") as file:
            if file.read(len(MARK)) != MARK:
                continue
            file.seek(0)
            times += [record.model_ms for record in reader.SegmentReader(file) if record.at >= since]
    return np.array(times)
