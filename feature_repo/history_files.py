"""Where the history of a view is: the file that is built from trips, and beside it the hours that were served live."""

from __future__ import annotations

from pathlib import Path


def history_of(features: Path, view: str) -> Path:
    """One file, or a pattern for all where there are hours as well."""
    whole = features / f"{view}.parquet"
    return features / f"{view}.*parquet" if any(features.glob(f"{view}.*.parquet")) else whole
