"""The solver for many, in a process of its own: SciPy's holds the interpreter's lock for as long as it takes.

Up to `INLINE_ROWS` riders it is done in place, in milliseconds. Above, a thousand ETA requests would wait for it. The
process starts when it is first needed, can be stopped when it takes too long, and ends when its parent does.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, NoReturn

import numpy as np

from contracts.errors import Unavailable
from contracts.schema import Floats
from contracts.zones import Positions
from serving.assignment import Solver, sparse

INLINE_ROWS: Final = 256
_HEAD: Final = struct.Struct("<qqq")  # pairs, rows, columns
_COUNT: Final = struct.Struct("<q")
_ROOT: Final = Path(__file__).parent.parent
_STOP_S: Final = 1.0


class SolverProcess:
    """Starts, asks and stops the process. Belongs to one thread, but for `close`."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._process: subprocess.Popen[bytes] | None = None
        self.stopped = 0  # how often it took too long

    def until(self, deadline: float) -> Solver:
        """A solver that raises Unavailable, `deadline` or `solver_failed`; the deadline is on this clock."""

        def solve(row: Positions, column: Positions, saving: Floats, shape: tuple[int, int]) -> Positions:
            if shape[0] <= INLINE_ROWS:
                return sparse(row, column, saving, shape)
            try:
                return self._asked(row, column, saving, shape, deadline=deadline)
            except OSError:  # it was killed between two requests
                self.close()
            try:
                return self._asked(row, column, saving, shape, deadline=deadline)
            except OSError as error:
                self.close()
                raise Unavailable("solver", "solver_failed", str(error)) from error

        return solve

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)

    def _asked(
        self, row: Positions, column: Positions, saving: Floats, shape: tuple[int, int], *, deadline: float
    ) -> Positions:
        if self._now() >= deadline:
            raise Unavailable("solver", "deadline", "no time is left")
        process = self._process = self._process or _start()
        if process.stdin is None or process.stdout is None:
            raise AssertionError("started with pipes")
        asked = _HEAD.pack(len(row), *shape) + row.tobytes() + column.tobytes() + saving.tobytes()
        self._write(process.stdin, asked, deadline)
        count = _COUNT.unpack(self._read(process.stdout, _COUNT.size, deadline))[0]
        return np.frombuffer(self._read(process.stdout, 8 * count, deadline), dtype=np.intp)

    def _write(self, pipe: IO[bytes], message: bytes, deadline: float) -> None:
        rest = memoryview(message)
        while rest:
            if not self._ready(pipe, select.POLLOUT, deadline):
                self._give_up()
            rest = rest[os.write(pipe.fileno(), rest) :]

    def _read(self, pipe: IO[bytes], size: int, deadline: float) -> bytes:
        parts, left = list[bytes](), size
        while left:
            if not self._ready(pipe, select.POLLIN, deadline):
                self._give_up()
            part = os.read(pipe.fileno(), left)
            if not part:
                raise BrokenPipeError("the solver's process ended")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _ready(self, pipe: IO[bytes], event: int, deadline: float) -> bool:
        waiting = select.poll()  # `select` refuses descriptors beyond 1,023, and a replica has many connections
        waiting.register(pipe, event)
        left_ms = max(deadline - self._now(), 0.0) * 1000 if math.isfinite(deadline) else None
        return bool(waiting.poll(left_ms))

    def _give_up(self) -> NoReturn:
        """Stop it: what it is at would keep the next one waiting."""
        self.stopped += 1
        self.close()
        raise Unavailable("solver", "deadline", "it took too long")


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.solver"], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if process.stdin:
        os.set_blocking(process.stdin.fileno(), False)  # one that hangs must not take the caller along
    return process


def main() -> int:
    """Solve what comes in until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(_HEAD.size):
        if len(head) < _HEAD.size:
            break
        count, rows, columns = _HEAD.unpack(head)
        row, column = (np.frombuffer(source.read(8 * count), dtype=np.intp) for _ in range(2))
        saving = np.frombuffer(source.read(8 * count), dtype=np.float64)
        made = sparse(row, column, saving, (rows, columns))
        sink.write(_COUNT.pack(len(made)) + made.astype(np.intp).tobytes())
        sink.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
