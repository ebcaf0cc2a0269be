"""A LightGBM model as one ``TreeEnsemble`` operator of ai.onnx.ml, version 5.

The operator of version 3 repeats for every node its tree, its number and its mode in words. This one keeps splits and
leaves apart, so that leaves of equal weight stand there once: with weights on a grid (`round_leaves`) they are few. A
split's threshold takes four bytes whatever its digits, hence thresholds are floored and not coarsened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from contracts.errors import TandemError

ML_DOMAIN: Final = "ai.onnx.ml"
ML_OPSET: Final = 5
_OPERATOR: Final = "TreeEnsemble"
_LEQ: Final = 0  # BRANCH_LEQ
_SUM: Final = 1

Tree = dict[str, Any]  # a node of LightGBM's own dump, with those below it
_NO_SPLIT: Final[Tree] = {
    "split_index": 0,
    "split_feature": 0,
    "threshold": 0.0,
    "decision_type": "<=",
    "missing_type": "None",
}


class NotExportable(TandemError):
    """A model has a split that the graph can't express."""

    def __init__(self, tree: int, what: str) -> None:
        super().__init__(f"tree {tree} has {what}, expected numerical splits on '<=' alone")


class NotATwin(TandemError):
    """A graph's trees have not the shape of the model's."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the graph is not an export of the model: {what}")


@dataclass
class _Splits:
    """Columns of the splits of all trees; a child is a split's row, or a leaf's where the flag says so."""

    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    nan_left: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    left_is_leaf: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    right_is_leaf: list[int] = field(default_factory=list)

    def attributes(self) -> dict[str, Any]:
        """As the operator names them."""
        return {
            "nodes_featureids": self.feature,
            "nodes_splits": _tensor(np.array(self.threshold, dtype=np.float32)),
            "nodes_modes": _tensor(np.full(len(self.feature), _LEQ, dtype=np.uint8)),
            "nodes_missing_value_tracks_true": self.nan_left,
            "nodes_truenodeids": self.left,
            "nodes_trueleafs": self.left_is_leaf,
            "nodes_falsenodeids": self.right,
            "nodes_falseleafs": self.right_is_leaf,
        }


def tree_node(booster: lgb.Booster) -> onnx.NodeProto:
    """The trees as one node ``features`` -> ``raw``.

    The way of a NaN at each split is LightGBM's own: to the default side where training saw NaNs in that feature, as
    a zero where it did not. Raises NotExportable on categorical splits.
    """
    roots = tree_roots(booster)
    weights = [np.float32(leaf["leaf_value"]) for root in roots for leaf in _leaves_of(root)]
    # A common weight comes first: its number takes a byte wherever a split points to it.
    ranked = sorted(Counter(weights).items(), key=lambda item: (-item[1], float(item[0])))
    number = {weight: at for at, (weight, _) in enumerate(ranked)}
    splits, starts = _Splits(), list[int]()
    for tree, root in enumerate(roots):
        starts.append(len(splits.feature))
        _append(splits, tree, root, number)
    leaves = np.array([weight for weight, _ in ranked], dtype=np.float32)
    return _node("raw", splits.attributes(), starts, leaves, [0] * len(leaves), targets=1)


def leaf_node(booster: lgb.Booster, trees: onnx.NodeProto) -> onnx.NodeProto:
    """Variant of a `tree_node` with an output a tree: the index of the LightGBM leaf that a row ends in.

    Splits are those of `trees`, untouched; only what a leaf holds is another thing. Raises NotATwin where they do not
    stand as the model's do.
    """
    attributes = {a.name: helper.get_attribute_value(a) for a in trees.attribute}
    starts = attributes.pop("tree_roots")
    if len(starts) != booster.num_trees():
        raise NotATwin(f"{len(starts)} trees, expected {booster.num_trees()}")
    children = {side: list(attributes[f"nodes_{side}nodeids"]) for side in ("true", "false")}
    indices, tree_of = list[int](), list[int]()
    for tree, (root, start) in enumerate(zip(tree_roots(booster), starts, strict=True)):
        pending = [(root, start)]
        while pending:
            split, at = pending.pop()
            for side, child in (("true", split["left_child"]), ("false", split["right_child"])):
                if attributes[f"nodes_{side}leafs"][at] != ("split_index" not in child):
                    raise NotATwin(f"tree {tree} has another shape")
                if "split_index" in child:
                    pending.append((child, children[side][at]))
                    continue
                children[side][at] = len(indices)
                indices.append(int(child.get("leaf_index", 0)))
                tree_of.append(tree)
    splits = {name: value for name, value in attributes.items() if name.startswith("nodes_")}
    splits |= {f"nodes_{side}nodeids": numbers for side, numbers in children.items()}
    leaves = np.array(indices, dtype=np.float32)
    return _node("leaves", splits, starts, leaves, tree_of, targets=booster.num_trees())


def trees_of(graph: bytes) -> onnx.NodeProto:
    """The trees that stand in a graph."""
    (trees,) = [node for node in onnx.load_from_string(graph).graph.node if node.op_type == _OPERATOR]
    return trees


def tree_roots(booster: lgb.Booster) -> list[Tree]:
    """LightGBM's own dump of each tree; one that learned nothing gets a split with its leaf on both sides."""
    roots = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    return [root if "split_index" in root else {**_NO_SPLIT, "left_child": root, "right_child": root} for root in roots]


def _append(splits: _Splits, tree: int, root: Tree, number: dict[np.float32, int]) -> None:
    """Add a tree, each split before those below it."""
    pending: list[tuple[Tree, list[int], int]] = [(root, [0], 0)]
    while pending:
        split, children, parent = pending.pop()
        if split["decision_type"] != "<=" or split["missing_type"] == "Zero":
            raise NotExportable(tree, f"a split on {split['decision_type']!r}, missing type {split['missing_type']}")
        at = children[parent] = len(splits.feature)
        splits.feature.append(int(split["split_feature"]))
        splits.threshold.append(float(split["threshold"]))
        splits.nan_left.append(_nan_goes_left(split))
        for child, column, flags in (
            (split["left_child"], splits.left, splits.left_is_leaf),
            (split["right_child"], splits.right, splits.right_is_leaf),
        ):
            is_leaf = "split_index" not in child
            flags.append(int(is_leaf))
            column.append(number[np.float32(child["leaf_value"])] if is_leaf else 0)
            if not is_leaf:
                pending.append((child, column, at))


def _nan_goes_left(split: Tree) -> int:
    if split["missing_type"] == "NaN":
        return int(split["default_left"])
    return int(float(split["threshold"]) >= 0.0)


def _leaves_of(root: Tree) -> Iterator[Tree]:
    pending = [root]
    while pending:
        node = pending.pop()
        if "split_index" in node:
            pending += [node["left_child"], node["right_child"]]
        else:
            yield node


def _node(
    output: str,
    splits: dict[str, Any],
    starts: list[int],
    leaves: npt.NDArray[np.float32],
    target_of: list[int],
    *,
    targets: int,
) -> onnx.NodeProto:
    return helper.make_node(
        _OPERATOR,
        ["features"],
        [output],
        name=output,
        domain=ML_DOMAIN,
        n_targets=targets,
        aggregate_function=_SUM,
        post_transform=0,
        tree_roots=starts,
        leaf_weights=_tensor(leaves),
        leaf_targetids=target_of,
        **splits,
    )


def _tensor(values: npt.NDArray[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(values)
