"""Parity is counted leaf by leaf, and the count can fail."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from tests.training.small_world import OFFSET, Exported, with_absent
from training.export import Head, _edited, eta_graph, floor_thresholds, thresholds
from training.parity import MAX_ABS_DIFF_S, ParityFailed, measure_parity, require_parity, threshold_rows
from training.tree_ensemble import NotATwin, tree_node
from training.trees import Examples


def test_no_row_takes_another_branch(exported: Exported, examples: Examples) -> None:
    """On real rows and at every threshold."""
    parity = require_parity(exported.booster, exported.head, exported.graph, examples.matrix, rows=1000, seed=0)
    assert parity.branch_flips == 0
    assert parity.max_abs_diff_s <= MAX_ABS_DIFF_S
    assert parity.rows == 1000 + 3 * len(thresholds(exported.booster))


def test_absent_entries_take_the_same_branch(exported: Exported, examples: Examples) -> None:
    """NaN anywhere, negative zeros too."""
    rows = with_absent(examples.matrix)
    rows[:, OFFSET] = examples.matrix[:, OFFSET]
    assert measure_parity(exported.booster, exported.head, exported.graph, rows).branch_flips == 0


def test_threshold_rows_hold_each_threshold_and_both_neighbours(exported: Exported, examples: Examples) -> None:
    """Every split of the model is put to the test, from below, at it and from above."""
    rows = threshold_rows(exported.booster, examples.matrix, seed=0)
    splits = thresholds(exported.booster)
    for place, (feature, threshold) in enumerate(splits):
        below, at, above = rows[3 * place : 3 * place + 3, feature]
        assert at == np.float32(threshold)
        assert below == np.nextafter(at, np.float32(-np.inf))
        assert above == np.nextafter(at, np.float32(np.inf)) or above == np.finfo(np.float32).max


def test_thresholds_that_are_merely_rounded_fail(exported: Exported, examples: Examples) -> None:
    """The reason for flooring: the raw model flips branches at its own thresholds."""
    rounded = eta_graph(tree_node(exported.raw), examples.matrix.shape[1], exported.head)
    with pytest.raises(ParityFailed) as failure:
        require_parity(exported.raw, exported.head, rounded, examples.matrix, rows=100, seed=0)
    assert failure.value.parity.branch_flips > 0


def test_another_head_is_found_out(exported: Exported, examples: Examples) -> None:
    """The seconds are compared too, and the figure stands in the error."""
    with pytest.raises(ParityFailed, match=r"largest difference \d+\.\d+ s, at most 0\.1 s"):
        require_parity(exported.booster, Head(0.8, 1.31, OFFSET), exported.graph, examples.matrix, rows=100, seed=0)


def test_trees_of_another_shape_are_no_twin(exported: Exported, examples: Examples) -> None:
    """Nobody counts branches of trees that do not stand beside one another."""
    fewer = lgb.Booster(model_str=exported.booster.model_to_string(num_iteration=10))
    graph = eta_graph(tree_node(fewer), examples.matrix.shape[1], exported.head)
    with pytest.raises(NotATwin, match="10 trees, expected 40"):
        measure_parity(exported.booster, exported.head, graph, examples.matrix)
    other = lgb.train({"verbosity": -1, "num_leaves": 4}, lgb.Dataset(examples.matrix, examples.duration_s), 40)
    graph = eta_graph(tree_node(floor_thresholds(other)), examples.matrix.shape[1], exported.head)
    with pytest.raises(NotATwin, match="tree 0 has another shape"):
        measure_parity(exported.booster, exported.head, graph, examples.matrix)


def test_trees_of_another_model_are_found_out_by_their_branches(exported: Exported, examples: Examples) -> None:
    """What is compared is the graph that would serve, not a fresh export of the model."""
    moved = _edited(exported.booster, "threshold", lambda values: values + 0.05)
    graph = eta_graph(tree_node(moved), examples.matrix.shape[1], exported.head)
    assert measure_parity(exported.booster, exported.head, graph, examples.matrix).branch_flips > 100
