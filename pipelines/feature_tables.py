"""Files of the offline store's tables: key, event time and features, shown whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.schema import ViewSpec
from feature_repo.history import EVENT_TIME

_BATCH_ROWS: Final = 200_000


class TableFile:
    """One view's file, written in batches so that memory does not grow with the history."""

    def __init__(self, view: ViewSpec, path: Path) -> None:
        floats = [(name, pa.float64()) for name in view.features]
        fields = [(view.entity, pa.string()), (EVENT_TIME, pa.timestamp("us", tz="UTC")), *floats]
        self._schema = pa.schema(fields)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", compression_level=1)
        self._waiting: list[Any] = []
        self._waiting_rows = 0
        self.rows = 0

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        # Not NaN to null: absent is NaN on every path.
        arrays = [
            pa.array(frame[field.name], type=field.type, from_pandas=not pa.types.is_floating(field.type))
            for field in self._schema
        ]
        self._waiting.append(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting_rows += len(frame)
        self.rows += len(frame)
        if self._waiting_rows >= _BATCH_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._waiting_rows = [], 0


@contextmanager
def feature_tables(places: Mapping[ViewSpec, Path]) -> Iterator[dict[str, TableFile]]:
    """Tables to write, by view; each appears in its place when all are whole."""
    partial = {view.name: path.with_name(f".{path.name}.partial") for view, path in places.items()}
    try:
        with ExitStack() as closing:
            tables = {}
            for view, path in places.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                tables[view.name] = TableFile(view, partial[view.name])
                closing.callback(tables[view.name].close)
            yield tables
        for view, path in places.items():
            partial[view.name].replace(path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
