"""The exported graph says what LightGBM says, also where numbers are awkward."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from adapters.onnx_session import OnnxModel
from tests.training.small_world import OFFSET, Exported, draw, export, with_absent
from training.export import LEAF_STEP, Head, _floor, eta_graph, floor_thresholds, model_bytes, schema_of, stamp
from training.parity import measure_parity
from training.tree_ensemble import NotExportable, tree_node
from training.trees import Examples


def test_flooring_changes_no_answer_for_float32_rows(exported: Exported, examples: Examples) -> None:
    """A float32 vector ends in the same leaf before and after."""
    rows = with_absent(examples.matrix)
    before, after = (model.predict(rows, pred_leaf=True) for model in (exported.raw, exported.booster))
    np.testing.assert_array_equal(before, after)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_floored_threshold_parts_float32_values_as_before(threshold: float, value: float) -> None:
    """LightGBM reads tiny values as zero; apart from that `value <= threshold` keeps its answer."""
    read = 0.0 if abs(np.float32(value)) <= np.float32(1e-35) else value
    (floored,) = _floor(np.array([threshold]))
    assert (read <= threshold) == (value <= floored)
    assert float(np.float32(floored)) == floored


def test_absent_entries_go_where_lightgbm_sends_them(exported: Exported, examples: Examples) -> None:
    """Also NaN in an entry that never was absent in training, which LightGBM reads as zero."""
    rows = with_absent(examples.matrix)
    rows[np.isnan(rows[:, OFFSET]), OFFSET] = 6.0
    expected = exported.head.eta_s(exported.booster.predict(rows), rows)
    eta_s, _, _ = exported.model.run(rows)
    np.testing.assert_allclose(eta_s, expected, atol=0.1)


def test_range_encloses_the_estimate_and_stays_plausible(exported: Exported, examples: Examples) -> None:
    """60 s <= low <= eta <= high <= 7200 s, for absurd references too."""
    rows = examples.matrix.copy()
    rows[:, OFFSET] = np.linspace(-50, 50, len(rows))
    eta_s, low_s, high_s = exported.model.run(rows)
    assert (low_s <= eta_s).all()
    assert (eta_s <= high_s).all()
    assert low_s.min() >= 60.0
    assert high_s.max() <= 7200.0
    np.testing.assert_allclose(np.stack(exported.head.interval(eta_s)), [low_s, high_s], rtol=1e-6)


def test_one_row_and_none(exported: Exported, examples: Examples) -> None:
    """The batch size is free."""
    whole, _, _ = exported.model.run(examples.matrix)
    one, _, _ = exported.model.run(examples.matrix[:1])
    assert one[0] == whole[0]
    assert exported.model.run(examples.matrix[:0])[0].shape == (0,)


def test_same_data_and_seed_give_the_same_bytes() -> None:
    """Training and export are deterministic, whatever the threads."""

    def model(threads: int) -> bytes:
        rows = draw(1500, seed=3)
        parameters = {"objective": "regression_l1", "verbosity": -1, "deterministic": True, "force_row_wise": True}
        booster = lgb.train(
            {**parameters, "seed": 4, "num_threads": threads}, lgb.Dataset(rows.matrix, rows.duration_s), 10
        )
        return eta_graph(tree_node(floor_thresholds(booster)), rows.matrix.shape[1], Head(0.9, 1.1))

    assert model(1) == model(2)


def test_without_an_offset_the_trees_are_the_whole_answer(examples: Examples) -> None:
    """A model of plain log seconds needs no reference in the graph."""
    booster = lgb.train(
        {"objective": "regression_l1", "verbosity": -1}, lgb.Dataset(examples.matrix, np.log(examples.duration_s)), 10
    )
    made = export(booster, Head(1.0, 1.0))
    expected = np.clip(np.exp(made.booster.predict(examples.matrix)), 60, 7200)
    np.testing.assert_allclose(made.model.run(examples.matrix)[0], expected, atol=0.1)


def test_categorical_splits_are_refused() -> None:
    """The error names the tree and what it has."""
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 9, size=(500, 2)).astype(float)
    data = lgb.Dataset(matrix, (matrix[:, 0] % 2) + rng.random(500), categorical_feature=[0])
    booster = lgb.train({"objective": "regression_l1", "verbosity": -1, "min_data_per_group": 5}, data, 3)
    with pytest.raises(NotExportable, match=r"tree 0 has a split on '=='"):
        tree_node(floor_thresholds(booster))


def test_rounded_leaves_sum_exactly_in_any_order(exported: Exported, examples: Examples) -> None:
    """The trees of the graph give LightGBM's float64 sum to the last bit, for a row alone as among others."""
    graph = model_bytes([tree_node(exported.booster)], examples.matrix.shape[1], {"raw": 1})
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    expected = exported.booster.predict(examples.matrix)
    (raw,) = session.run(None, {"features": examples.matrix})
    np.testing.assert_array_equal(raw[:, 0].astype(np.float64), expected)
    (alone,) = session.run(None, {"features": examples.matrix[:1]})
    assert alone[0, 0] == raw[0, 0]
    assert set(np.unique(expected / LEAF_STEP % 1.0)) == {0.0}


def test_leaves_of_equal_weight_stand_in_the_graph_once(exported: Exported) -> None:
    """The commonest first, and fewer than the model has leaves; splits are all there."""
    attributes = {a.name: helper.get_attribute_value(a) for a in tree_node(exported.booster).attribute}
    weights = numpy_helper.to_array(attributes["leaf_weights"])
    leaves = sum(tree["num_leaves"] for tree in exported.booster.dump_model()["tree_info"])
    assert len(set(weights.tolist())) == len(weights) < leaves
    assert len(attributes["nodes_featureids"]) == leaves - exported.booster.num_trees()
    uses = np.bincount(
        [
            child
            for side in ("true", "false")
            for child, leaf in zip(attributes[f"nodes_{side}nodeids"], attributes[f"nodes_{side}leafs"], strict=True)
            if leaf
        ]
    )
    assert (np.diff(uses) <= 0).all()


def test_rounding_leaves_costs_nothing(exported: Exported, examples: Examples) -> None:
    """By the rule that a quantized model must keep: here less than a hundredth of it."""
    before, after = (
        np.abs(exported.head.eta_s(model.predict(examples.matrix), examples.matrix) - examples.duration_s).mean()
        for model in (exported.raw, exported.booster)
    )
    assert abs(after / before - 1.0) < 5e-5


def test_a_tree_that_learned_nothing_is_its_one_leaf(examples: Examples) -> None:
    """Too few rows for a split: the sum is a constant, and no row takes a branch that LightGBM does not have."""
    parameters = {"objective": "regression_l1", "verbosity": -1, "min_data_in_leaf": 10_000}
    made = export(lgb.train(parameters, lgb.Dataset(examples.matrix, np.log(examples.duration_s)), 2), Head(1.0, 1.0))
    assert measure_parity(made.booster, made.head, made.graph, examples.matrix[:50]).branch_flips == 0
    np.testing.assert_allclose(
        made.model.run(examples.matrix[:3])[0], np.exp(made.booster.predict(examples.matrix[:3])), rtol=1e-5
    )


def test_a_graph_says_which_schema_it_was_made_for(exported: Exported) -> None:
    """And answers as before; one that does not say is made for none."""
    stamped = stamp(exported.graph, "c" * 64)
    assert (schema_of(stamped), schema_of(exported.graph)) == ("c" * 64, "")
    assert OnnxModel(stamped).width == exported.model.width


def test_another_implementation_answers_the_same(exported: Exported, examples: Examples) -> None:
    """ONNX's own reference reads the operator, shared leaves and absent entries included, as onnxruntime does."""
    graph = model_bytes([tree_node(exported.booster)], examples.matrix.shape[1], {"raw": 1})
    (raw,) = ReferenceEvaluator(onnx.load_from_string(graph)).run(None, {"features": examples.matrix[:200]})
    np.testing.assert_allclose(raw[:, 0], exported.booster.predict(examples.matrix[:200]), atol=1e-6)
