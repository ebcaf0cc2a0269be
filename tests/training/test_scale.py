"""Parts on threads: each once, never many at a time, and a failure is heard."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from training.scale import on_threads


def test_every_part_comes_once() -> None:
    """With what was made of it."""
    assert dict(on_threads(lambda part: part * part, range(50), workers=3)) == {i: i * i for i in range(50)}
    assert list(on_threads(lambda part: part, [], workers=2)) == []


def test_no_more_parts_are_begun_than_can_be_held() -> None:
    """One more than the threads, beside those that are waiting to be written."""
    begun: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(40):
            begun.append(number)
            yield number

    for taken, _ in enumerate(on_threads(lambda part: part, numbers(), workers=2), start=1):
        assert len(begun) <= taken + 3 + 2


def test_a_failure_stops_the_work() -> None:
    """It is raised, and what was not begun is not done."""
    done, lock = [], threading.Lock()

    def work(part: int) -> int:
        if part == 3:
            raise ValueError("part 3")
        with lock:
            done.append(part)
        return part

    with pytest.raises(ValueError, match="part 3"):
        list(on_threads(work, range(1000), workers=2))
    assert len(done) < 50
