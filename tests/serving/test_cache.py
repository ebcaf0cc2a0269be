"""The cache's bounds and its early refresh."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cache import Cache, refresh_early


def test_early_refresh_probability() -> None:
    """With a 0.4 s recomputation and 2 s left, one draw in 149 refreshes: the reference value .0067."""
    edge = math.exp(-2 / 0.4)
    assert edge == pytest.approx(0.0067, abs=5e-5)
    assert refresh_early(0, 2, 0.4, edge * 0.999)
    assert not refresh_early(0, 2, 0.4, edge * 1.001)


def test_an_entry_lives_for_its_ttl() -> None:
    """A hit before the expiry, a miss at it, and a stale value within the bound after it."""
    cache: Cache[str, int] = Cache(capacity=2, ttl_s=10, uniform=lambda: 0.5)
    cache.put("a", 1, now=0)
    entry = cache.get("a", now=9.9)
    assert entry is not None
    assert entry.value == 1
    assert cache.get("a", now=10) is None
    assert cache.stale("a", now=30, bound_s=30) is not None
    assert cache.stale("a", now=31, bound_s=30) is None


def test_invalidation_expires_but_keeps_the_stale_value() -> None:
    """An invalidated entry is read anew, unless the store is gone."""
    cache: Cache[str, int] = Cache(capacity=2, ttl_s=10, uniform=lambda: 0.5)
    cache.put("a", 1, now=0)
    cache.invalidate("a")
    assert cache.get("a", now=1) is None
    assert cache.stale("a", now=1, bound_s=5) is not None


def test_expiries_are_spread() -> None:
    """Keys stored at one moment do not all end at one moment."""
    rng = random.Random(1)
    cache: Cache[int, int] = Cache(capacity=1000, ttl_s=10, uniform=rng.random)
    for key in range(1000):
        cache.put(key, key, now=0)
    alive = sum(cache.get(key, now=10) is not None for key in range(1000))
    assert 400 < alive < 600


@given(st.lists(st.integers(0, 20), max_size=200), st.integers(1, 8))
def test_it_keeps_the_most_recently_used(keys: list[int], capacity: int) -> None:
    """Never larger than its capacity, and what remains is what was used last."""
    cache: Cache[int, int] = Cache(capacity=capacity, ttl_s=1, uniform=lambda: 0.5)
    for key in keys:
        cache.put(key, key, now=0)
    recent = list(dict.fromkeys(reversed(keys)))[:capacity]
    assert len(cache) == len(recent)
    assert all(cache.get(key, now=0.5) is not None for key in recent)
