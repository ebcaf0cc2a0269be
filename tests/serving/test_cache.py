"""The cache's bounds and its early refresh."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.schema import Floats
from serving.cache import Key, RowCache, refresh_early


def key(number: int) -> Key:
    """A zone's key."""
    return ("zone", str(number))


def cache_of(capacity: int) -> RowCache:
    """A cache whose expiries are not spread."""
    return RowCache(capacity, 3, lambda: 0.5)


def filled(rows: list[list[float]]) -> Floats:
    """A matrix of rows with NaN where they are shorter than the cache's."""
    matrix = np.full((len(rows), 3), np.nan)
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


def test_early_refresh_probability() -> None:
    """With a 0.4 s recomputation and 2 s left, one draw in 149 refreshes: the reference value .0067."""
    edge = math.exp(-2 / 0.4)
    assert edge == pytest.approx(0.0067, abs=5e-5)
    assert refresh_early(0, 2, 0.4, edge * 0.999)
    assert not refresh_early(0, 2, 0.4, edge * 1.001)


def test_a_row_lives_for_its_ttl() -> None:
    """A hit before the expiry, a miss at it, and a stale value within the bound after it."""
    cache = cache_of(2)
    cache.put([key(1)], filled([[1.0, 2.0]]), 0, [10])
    rows, expiry = cache.get([key(1), key(2)], 9.9)
    assert rows[0, :2].tolist() == [1.0, 2.0]
    assert math.isnan(rows[0, 2])
    assert np.isnan(rows[1]).all()
    assert expiry == [10.0, -math.inf]
    assert (cache.hits, cache.misses) == (1, 1)
    cache.get([key(1)], 10)
    assert (cache.hits, cache.misses) == (1, 2)
    assert cache.stale([key(1), key(2)], 30, 30)[1].tolist() == [True, False]
    assert not cache.stale([key(1)], 31, 30)[1].any()


def test_a_row_that_was_found_stays_what_it_was() -> None:
    """Rows are copies: what is stored meanwhile does not change them."""
    cache = cache_of(1)
    cache.put([key(1)], filled([[1.0, 1.0, 1.0]]), 0, [10])
    rows, _ = cache.get([key(1)], 1)
    cache.put([key(2)], filled([[2.0, 2.0, 2.0]]), 1, [10])
    assert rows.tolist() == [[1.0, 1.0, 1.0]]


def test_invalidation_expires_but_keeps_the_stale_value() -> None:
    """An invalidated row is read anew, unless the store is gone; an unknown key is nobody's."""
    cache = cache_of(2)
    cache.put([key(1)], filled([[1.0]]), 0, [10])
    cache.put([key(2)], filled([[2.0]]), 0, [10])
    cache.invalidate(key(1))
    cache.invalidate(key(9))
    assert cache.get([key(1), key(2)], 1)[1] == [-math.inf, 10.0]
    assert cache.stale([key(1)], 1, 5)[1].all()
    cache.invalidate(key(2), at=3.0)
    cache.invalidate(key(2), at=5.0)
    assert cache.get([key(2)], 1)[1] == [3.0]


def test_expiries_are_spread() -> None:
    """Keys stored at one moment do not all end at one moment."""
    cache = RowCache(1000, 3, random.Random(1).random)
    for number in range(1000):
        cache.put([key(number)], filled([[1.0]]), 0, [10])
    _, expiry = cache.get([key(number) for number in range(1000)], 10)
    assert 400 < np.count_nonzero(np.array(expiry) > 10) < 600
    assert 9 <= min(expiry) < max(expiry) <= 11


def test_ages_and_size() -> None:
    """What is there, and for how long."""
    cache = cache_of(4)
    cache.put([key(1)], filled([[1.0]]), 0, [10])
    cache.put([key(2)], filled([[1.0]]), 3, [10])
    assert len(cache) == 2
    assert sorted(cache.ages(5).tolist()) == [2.0, 5.0]


@given(st.lists(st.integers(0, 20), max_size=200), st.integers(1, 8))
def test_it_keeps_the_most_recently_used(numbers: list[int], capacity: int) -> None:
    """Never larger than its capacity; below sixteen rows one is pushed out at a time, the one used longest ago."""
    cache = cache_of(capacity)
    for now, number in enumerate(numbers):
        cache.put([key(number)], filled([[float(number)]]), now, [1e6])
    recent = list(dict.fromkeys(reversed(numbers)))[:capacity]
    assert len(cache) == len(recent)
    rows, expiry = cache.get([key(number) for number in recent], 500)
    assert min(expiry) > 500 if expiry else not recent
    assert rows[:, 0].tolist() == recent


def test_a_large_cache_pushes_out_a_sixteenth() -> None:
    """What was used last stays, and the places that were emptied are used again."""
    cache = cache_of(64)
    for number in range(64):
        cache.put([key(number)], filled([[float(number)]]), number, [1e6])
    cache.get([key(0)], 100)
    cache.put([key(64)], filled([[64.0]]), 101, [1e6])
    assert (len(cache), cache.evicted) == (61, 4)
    _, expiry = cache.get([key(number) for number in (0, 1, 2, 3, 4, 5, 64)], 102)
    assert [end > 102 for end in expiry] == [True, False, False, False, False, True, True]


def test_rows_that_come_together_do_not_push_one_another_out() -> None:
    """Of different widths, more at once than there is room for: never more than the capacity, and nothing mixed up."""
    cache = cache_of(4)
    keys = [key(number) for number in range(6)]
    cache.put(keys[:4], filled([[float(i)] * (1 + i % 3) for i in range(4)]), 0, [10] * 4)
    rows, expiry = cache.get(keys[:4], 1)
    assert expiry == [10.0] * 4
    assert rows[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert np.isnan(rows).sum(axis=1).tolist() == [2, 1, 0, 2]
    cache.put(keys[2:], filled([[9.0]] * 4), 2, [10] * 4)
    rows, expiry = cache.get(keys[2:], 3)
    assert len(cache) == 4
    assert rows[:, 0].tolist() == [9.0] * 4
