"""Many parts of one piece of work at once, on threads or on Ray Data; the only importer of Ray here."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa

Work = Callable[[int], Any]  # a part's number to its Arrow table
PART: Final = "_part"


def on_threads(work: Work, parts: Iterable[int], *, workers: int) -> Iterator[tuple[int, Any]]:
    """Parts and their tables as they come; LightGBM and numpy let threads run side by side.

    As many parts are under way as there are threads, and one more, so that memory does not grow with their number.
    """
    waiting = iter(parts)
    with ThreadPoolExecutor(workers) as pool:
        under_way = {pool.submit(work, part): part for part in islice(waiting, workers + 1)}
        try:
            while under_way:
                for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                    part = under_way.pop(done)
                    for other in islice(waiting, 1):
                        under_way[pool.submit(work, other)] = other
                    yield part, done.result()
        finally:
            for one in under_way:
                one.cancel()


def on_ray(work: Work, parts: Iterable[int], *, workers: int) -> Iterator[tuple[int, Any]]:
    """Parts and their tables as they come from a Ray Data stream, on the cluster at RAY_ADDRESS or on one of its own.

    The work's arrays lie once in each machine's object store, and its workers read them there.
    """
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # on a busy machine the usual 30 are not enough
    import ray  # noqa: PLC0415 - seconds
    from ray import data  # noqa: PLC0415

    own = not ray.is_initialized()
    if own:
        ray.init(
            num_cpus=None if os.environ.get("RAY_ADDRESS") else workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    try:
        data.DataContext.get_current().enable_progress_bars = False  # there is one already
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        held = ray.put(work)  # as long as there are workers who may ask for it
        numbers = [{PART: part} for part in parts]
        stream = data.from_items(numbers, override_num_blocks=len(numbers)).map_batches(
            _Worker,
            fn_constructor_args=(held,),
            batch_size=1,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        for block in stream.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
            of = block[PART].to_numpy()
            for part in np.unique(of):
                yield int(part), block.filter(pa.array(of == part)).drop_columns([PART])
    finally:
        if own:
            ray.shutdown()


class _Worker:
    """An actor of the stream."""

    def __init__(self, work: Any) -> None:
        import ray  # noqa: PLC0415

        self._work: Work = ray.get(work) if isinstance(work, ray.ObjectRef) else work

    def __call__(self, block: Any) -> Any:
        """One part's table, with its number in every row."""
        (part,) = block[PART].to_pylist()
        table = self._work(part)
        return table.append_column(PART, pa.array(np.full(table.num_rows, part, dtype=np.int64)))
