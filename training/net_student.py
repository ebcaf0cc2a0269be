"""The second compact model: a net with a calibrated range, in float32 and in eight bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from adapters.onnx_session import OnnxModel
from contracts.schema import Floats
from training.encoding import Columns, fit_encoding
from training.net import Net, fit_net
from training.net_graph import NetHead, net_graph
from training.quantize import VARIANTS, quantize_net
from training.settings import NetSettings
from training.student import Lessons, tails
from training.trees import Examples, Tick, log_target

FLOAT32 = "float32"


@dataclass(frozen=True)
class NetStudent:
    """A fitted net, its graphs by precision, and the MAE of each on later rows than a net of its make had seen."""

    net: Net
    head: NetHead
    graphs: Mapping[str, bytes]
    holdout_mae_s: Mapping[str, float]


def fit_net_student(
    examples: Examples,
    settings: NetSettings,
    *,
    columns: Columns,
    points: tuple[Floats, Floats] | None,
    holdout: int,
    seed: int,
    lessons: Lessons | None = None,
    tick: Tick = lambda: None,
) -> NetStudent:
    """Fit on all of the examples, which are in the order of time, or on what a teacher made of them.

    `points` are the zones' latitudes and longitudes. The range is conformalized quantile regression on the log scale:
    the last `holdout` examples, as recorded, and a net that has not seen them say by how much the learned ends must
    move. `tick` is called after each epoch of both.
    """
    cut = len(examples) - holdout
    later = examples.rows(slice(cut, None))
    lessons = lessons or Lessons(examples.rows(slice(None, cut)), examples)
    earlier, everything = lessons.earlier, lessons.all
    neutral = NetHead(low_margin=0.0, high_margin=0.0, offset=columns.offset)
    probe = fit_net(earlier, fit_encoding(earlier.matrix, columns, points), settings, seed=seed, tick=tick)
    holdout_mae_s = {
        precision: float(np.abs(OnnxModel(graph).run(later.matrix)[0] - later.duration_s).mean())
        for precision, graph in _graphs(probe, neutral, earlier, seed).items()
    }
    # A score is how far a trip lies above an end; the tenth below the low end and above the high one are let go.
    beyond = log_target(later, columns.offset)[:, None] - probe.raw(later.matrix)[:, 1:].astype(np.float64)
    head = NetHead(tails(beyond[:, 0])[0], tails(beyond[:, 1])[1], columns.offset)
    net = fit_net(everything, fit_encoding(everything.matrix, columns, points), settings, seed=seed, tick=tick)
    return NetStudent(net, head, _graphs(net, head, examples, seed), holdout_mae_s)


def _graphs(net: Net, head: NetHead, examples: Examples, seed: int) -> dict[str, bytes]:
    graph = net_graph(net, examples.matrix.shape[1], head)
    quantized = {variant: quantize_net(graph, examples.matrix, variant=variant, seed=seed) for variant in VARIANTS}
    return {FLOAT32: graph, **quantized}
