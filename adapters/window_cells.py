"""Cells of windows in Redis: counts and sums by key and grid time, each event added once however often it comes.

An event is known by its id and its cell; what was added is remembered for `REMEMBERED_S` after the last addition to the
cell. The state is the server's, not a consumer's: consumers may share, die and return.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from adapters.feast_encoding import PROJECT
from adapters.redis_client import redis_client, unavailable
from contracts.errors import Unavailable

Event = tuple[str, str, int, str, tuple[int, int]]  # entity, key, grid time of the cell (µs), id, what is summed

_MARK: Final = f"{PROJECT}:live:log:"
REMEMBERED_S: Final = 4 * 3600
_AT_ONCE: Final = 1000  # events in one call: others wait meanwhile

# KEYS: the cells, then the ids of each cell that is touched. ARGV: how long to remember, then number of the cell among
# KEYS, cell, id, and two values for each event. Answers 1 for an event that is new.
_ADD: Final = """
local answers = {}
for i = 2, #ARGV, 5 do
  local ids, cell = KEYS[1 + tonumber(ARGV[i])], ARGV[i + 1]
  local new = redis.call('SADD', ids, ARGV[i + 2])
  if new == 1 then
    local held = redis.call('HGET', KEYS[1], cell) or '0 0 0'
    local n, a, b = string.match(held, '^(%-?%d+) (%-?%d+) (%-?%d+)$')
    local sums = string.format('%.0f %.0f %.0f', n + 1, a + ARGV[i + 3], b + ARGV[i + 4])
    redis.call('HSET', KEYS[1], cell, sums)
  end
  answers[#answers + 1] = new
end
for i = 2, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return answers
"""


class RedisWindowCells:
    """Adds, reads and lets go, many at once."""

    def __init__(self, url: str, *, timeout_s: float = 2.0) -> None:
        self._redis = redis_client(url, timeout_s)
        self._add = self._redis.register_script(_ADD)

    def add(self, events: Sequence[Event]) -> int:
        """Add events; returns how many were new. Raises Unavailable; then adding all of them again is right."""
        by_key: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in events:
            by_key[event[:2]].append(event)
        with unavailable("window cells", "stream_unavailable"), self._redis.pipeline(transaction=False) as pipe:
            for (entity, key), of in by_key.items():
                for start in range(0, len(of), _AT_ONCE):
                    keys, arguments = _call(_cells_key(entity, key), of[start : start + _AT_ONCE])
                    self._add(keys, arguments, client=pipe)
            return sum(sum(answers) for answers in pipe.execute())

    def read(self, keys: Iterable[tuple[str, str]]) -> list[dict[int, tuple[int, int, int]]]:
        """Count and sums by grid time, for each (entity, key). Raises Unavailable."""
        with unavailable("window cells", "stream_unavailable"), self._redis.pipeline(transaction=False) as pipe:
            for entity, key in keys:
                pipe.hgetall(_cells_key(entity, key))
            return [{int(cell): _numbers(sums) for cell, sums in of.items()} for of in pipe.execute()]

    def drop(self, cells: Iterable[tuple[str, str, int]]) -> None:
        """Let go of (entity, key, cell). Raises Unavailable."""
        with unavailable("window cells", "stream_unavailable"), self._redis.pipeline(transaction=False) as pipe:
            for entity, key, cell in cells:
                pipe.hdel(_cells_key(entity, key), cell)
            pipe.execute()

    def marked(self, log_id: str) -> bool:
        """Whether the server still has what a log was read into. Raises Unavailable."""
        with unavailable("window cells", "stream_unavailable"):
            return bool(self._redis.exists(f"{_MARK}{log_id}"))

    def mark(self, log_id: str) -> None:
        """All that a log holds is in the cells. Raises Unavailable."""
        with unavailable("window cells", "stream_unavailable"):
            self._redis.set(f"{_MARK}{log_id}", 1)

    def close(self) -> None:
        """Let the connection go."""
        self._redis.close()


def _call(cells: str, events: Sequence[Event]) -> tuple[list[str], list[Any]]:
    numbers: dict[int, int] = {}
    arguments: list[Any] = [REMEMBERED_S]
    for _, _, cell, event_id, values in events:
        number = numbers.setdefault(cell, len(numbers) + 1)
        digest = hashlib.blake2b(event_id.encode(), digest_size=12).digest()
        arguments += (number, cell, digest, *values)
    return [cells, *(f"{cells}:{cell}" for cell in numbers)], arguments


def _cells_key(entity: str, key: str) -> str:
    return f"{PROJECT}:live:{{{entity}:{key}}}"  # in braces: one slot of a cluster


def _numbers(sums: bytes) -> tuple[int, int, int]:
    try:
        count, first, second = map(int, sums.split())
    except ValueError:
        raise Unavailable("window cells", "stream_unavailable", f"{sums!r} is no cell") from None
    return count, first, second
