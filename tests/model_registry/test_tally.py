"""Sums of evidence: the same in any order, kept to the last digit, bounded."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_registry.experiment import moments
from model_registry.policy import parse_policy
from model_registry.shadow_pairs import PairTally
from model_registry.tally import CANDIDATE_SIDE, MAX_CELLS, Tally
from model_registry.unit_means import UnitMeans
from tests.model_registry.world import START, small_policy

POLICY = small_policy()
values = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 10**7)), max_size=30)


def kept(thing: msgspec.Struct) -> msgspec.Struct:
    """As it comes back from disk."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(thing), type=type(thing))


@given(values, st.randoms(use_true_random=False))
def test_units_sum_to_the_same_in_any_order(found: list[tuple[int, int]], draw: random.Random) -> None:
    """And after a stay on disk."""
    one, other = UnitMeans(), UnitMeans()
    for key, value in found:
        one.add(key, [value])
    for key, value in draw.sample(found, len(found)):
        other.add(key, [value])
    assert kept(one).moments(UnitMeans()) == other.moments(UnitMeans())  # type: ignore[attr-defined]


def test_units_of_one_request_are_summed_beyond_64_bits() -> None:
    """A hundred million of them would be; the sums are those of arrays."""
    means = UnitMeans()
    for value in (100_000, 300_000, 650_001):
        means.add(None, [value])
    found, expected = means.moments(UnitMeans()), moments([100.0, 300.0, 650.001])
    assert msgspec.structs.astuple(found) == pytest.approx(msgspec.structs.astuple(expected))
    means.alone_sq = means.alone_sq * 10**15
    assert kept(means) == means


def test_history_is_centred_and_unknown_is_the_centre() -> None:
    """So that a unit without a past moves nothing."""
    history, means = UnitMeans(), UnitMeans()
    history.add(1, [100_000, 300_000])
    history.add(2, [400_000])
    for key in (1, 2, 3):
        means.add(key, [1000 * key])
    found = means.moments(history)
    assert (found.n, found.y, found.x, found.xx, found.xy) == (3, 6.0, 0.0, 20_000.0, 100.0)


def test_a_step_without_labels_keeps_so_many_cells() -> None:
    """The window of accuracy is never full: the oldest cells go all the same."""
    tally = Tally(START, 60.0)
    for minute in range(MAX_CELLS + 10):
        at = START + 60.0 * minute
        tally.request(CANDIDATE_SIDE, at, failed=False, fell_back=False, latency_ms=1.0, model_ms=None)
    cells = tally.cells(POLICY, at)
    assert (len(cells), cells[0].at) == (MAX_CELLS, START + 600.0)
    tally.request(CANDIDATE_SIDE, START, failed=False, fell_back=False, latency_ms=1.0, model_ms=None)
    assert len(tally.cells(POLICY, at)) == MAX_CELLS
    assert tally.samples[CANDIDATE_SIDE] == MAX_CELLS + 11
    assert kept(tally) == tally


def test_a_policy_of_the_split_alone_needs_no_cells() -> None:
    """It looks at units."""
    text = "model: eta\ninterval: 60s\nsteps:\n  - canary: {weight: 5, for: 1m, min_samples: 1}\n"
    text += "guardrails:\n  - {metric: srm_p_value, min: 0.001, sequential: true}\nprogress_deadline: 1h\n"
    tally = Tally(START, 60.0)
    tally.request(CANDIDATE_SIDE, START, failed=False, fell_back=False, latency_ms=1.0, model_ms=None)
    assert tally.cells(parse_policy(text), START) == ()


def test_a_tally_of_pairs_comes_back_as_it_was() -> None:
    """With its sums of more than 64 bits."""
    tally = PairTally()
    for _ in range(3):
        tally.label(1e6, 0.001)
    tally.error_diff_sq *= 10**9
    assert kept(tally) == tally
    assert tally.pairs().abs_error_diff_sum == pytest.approx(-3 * (1e6 - 0.001))
