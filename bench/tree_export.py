"""What the tree student's export costs and keeps: bytes, error, branches, µs, by version of the operator and by grid.

`python -m bench.tree_export --home HOME [--test-from DATE]` on the trips of a home; prints Markdown and writes nothing.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnx
from onnx import helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from adapters.onnx_session import OnnxModel
from contracts.features import ETA_SCHEMA, OFFSET
from pipelines.layout import Layout
from pipelines.vectors import learning_data
from training.evaluate import mae_change_interval
from training.export import Head, eta_graph, floor_thresholds, round_leaves
from training.frontier import BATCHES, time_models
from training.parity import full_parity
from training.settings import TrainingSettings
from training.tree_ensemble import ML_DOMAIN, tree_node
from training.trees import Examples, fit_trees

GRIDS = (9, 11, 13, 15)
COMPARED = ("version 5", "version 5, leaves on 2^-13")  # branch by branch; the second is what serves
ROWS = 100_000


def version_3(booster: lgb.Booster, graph: bytes) -> bytes:
    """The graph with its trees as the converter writes them, in the operator that it knows."""
    types = [("features", FloatTensorType([None, booster.num_feature()]))]
    converted = convert_lightgbm(booster, name="trees", initial_types=types, target_opset=15, zipmap=False).graph
    (trees,) = [node for node in converted.node if node.op_type == "TreeEnsembleRegressor"]
    model = onnx.load_from_string(graph)
    (at,) = [at for at, node in enumerate(model.graph.node) if node.op_type == "TreeEnsemble"]
    attributes = {a.name: helper.get_attribute_value(a) for a in trees.attribute}
    node = helper.make_node("TreeEnsembleRegressor", ["features"], ["raw"], domain=ML_DOMAIN, **attributes)
    model.graph.node[at].CopyFrom(node)
    for entry in model.opset_import:
        if entry.domain == ML_DOMAIN:
            entry.version = 3
    return bytes(model.SerializeToString(deterministic=True))


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the student of the default settings once, and export it in each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--test-from", type=date.fromisoformat)
    arguments = parser.parse_args(argv)
    settings = TrainingSettings()
    data = learning_data(Layout(arguments.home.resolve()), None, arguments.test_from, settings)
    examples, test, offset = (
        Examples(data.learn.matrix, data.learn.duration_s),
        data.test,
        ETA_SCHEMA.names.index(OFFSET),
    )
    floored = floor_thresholds(fit_trees(examples, settings.student, offset=offset, seed=settings.seed))
    head, width = Head(0.7, 1.4, offset), len(ETA_SCHEMA.names)
    boosters = {"version 5": floored}
    boosters |= {f"version 5, leaves on 2^-{power}": round_leaves(floored, 2.0**-power) for power in GRIDS}
    graphs = {name: eta_graph(tree_node(booster), width, head) for name, booster in boosters.items()}
    graphs = {"version 3": version_3(floored, graphs["version 5"]), **graphs}
    models = {name: OnnxModel(graph) for name, graph in graphs.items()}
    p50_us = time_models(models, test.matrix)
    reference = models["version 5"].run(test.matrix)[0].astype(np.float64)
    print(f"{len(examples):,} trips learned from, {len(test):,} tested\n")
    print("| form | bytes | zipped | change of MAE, 95 % | rows | other branch | s off | µs at 1 | 64 | 512 |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in graphs:
        eta_s = models[name].run(test.matrix)[0].astype(np.float64)
        low, high = mae_change_interval(test.duration_s, eta_s, reference, test.context.day)
        branches = "| - | - | - "
        if name in COMPARED:
            found = full_parity(boosters[name], head, graphs[name], examples.matrix, rows=ROWS, seed=settings.seed)
            branches = f"| {found.rows:,} | {found.branch_flips} | {found.max_abs_diff_s:.4f} "
        sizes = f"{len(graphs[name]):,} | {len(zlib.compress(graphs[name])):,}"
        times = " | ".join(f"{p50_us[name][rows]:,.0f}" for rows in BATCHES)
        print(f"| {name} | {sizes} | {low:+.4%}..{high:+.4%} {branches}| {times} |")


if __name__ == "__main__":
    main()
