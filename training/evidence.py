"""What the gates judge, gathered from a candidate and the champion on the same test trips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.onnx_session import OnnxModel
from adapters.tables import Golden
from contracts.manifest import Parity
from contracts.schema import FeatureSchema, Matrix
from training.evaluate import Estimates, Labels
from training.export import schema_of
from training.frontier import time_models
from training.gates import Evidence, NoReference, Reference, SchemaFound
from training.students import TREE, Candidate
from training.tiers import answers
from training.trip_vectors import TripVectors

_KB: Final = 1024
ROUNDED_LIMIT: Final = 60 * _KB
EXACT_LIMITS: Final = {TREE: 1024 * _KB}
FLOAT_NET_LIMIT: Final = 160 * _KB
_ALONE: Final = 64
_CANDIDATE, _CHAMPION = "candidate", "champion"


@dataclass(frozen=True)
class Champion:
    """The version that serves, and its model for the use in question."""

    name: str
    model: OnnxModel


def gather(
    candidate: Candidate,
    *,
    use: str,
    batch: int,
    parity: Parity,
    test: TripVectors,
    labels: Mapping[str, Labels],
    golden: Golden,
    estimates: Mapping[str, Estimates],
    baselines: tuple[str, ...],
    schema: FeatureSchema,
    champion: Champion | NoReference,
) -> Evidence:
    """Ask candidate and champion about the test trips and time them in turns.

    Args:
        candidate: who is to be kept.
        use: the file it would be, such as ``eta.onnx``.
        batch: how many trips at a time that use asks for.
        parity: of the exported model with its native one.
        test: trips that nothing was fitted on.
        labels: their slices.
        golden: the candidate's answers to awkward rows.
        estimates: answers to the test trips by model, the baselines' and the candidate's among them.
        baselines: whom the candidate has to beat.
        schema: this release's.
        champion: who serves, or why there is none to compare with.

    """
    models = {_CANDIDATE: candidate.served}
    if isinstance(champion, Champion):
        models[_CHAMPION] = champion.model
    p50_us = {name: times[batch] for name, times in time_models(models, test.matrix).items()}
    return Evidence(
        use=use,
        candidate=candidate.name,
        exact=candidate.exact,
        schema=SchemaFound(
            candidate.served.width, schema_of(candidate.graph), len(schema.features), schema.schema_hash()
        ),
        parity=parity,
        size=len(candidate.graph),
        size_limit=_size_limit(candidate),
        p50_us=p50_us[_CANDIDATE],
        batch=batch,
        actual_s=test.duration_s,
        day=test.context.day,
        labels=labels,
        answers=estimates[candidate.name],
        native_s=candidate.native(test.matrix)[0],
        awkward=Estimates(*(side.astype(np.float64) for side in (golden.eta_s, golden.low_s, golden.high_s))),
        repeat_diff_s=repeat_diff_s(candidate, golden.matrix),
        baselines={name: estimates[name].eta_s for name in baselines},
        champion=champion
        if isinstance(champion, NoReference)
        else Reference(champion.name, answers(champion.model, test.matrix).eta_s, p50_us[_CHAMPION]),
    )


def repeat_diff_s(candidate: Candidate, matrix: Matrix) -> float:
    """By how many seconds answers to the same rows [n, F] differ: from a model loaded anew, and for rows alone."""
    again = OnnxModel(candidate.graph)
    first, second = (np.stack(model.run(matrix)) for model in (candidate.served, again))
    alone = [np.stack(again.run(matrix[i : i + 1])) for i in range(min(len(matrix), _ALONE))]
    apart = np.abs(np.hstack(alone) - first[:, : len(alone)])
    return float(max(np.abs(first - second).max(), apart.max()))


def _size_limit(candidate: Candidate) -> int:
    return EXACT_LIMITS.get(candidate.name, FLOAT_NET_LIMIT) if candidate.exact else ROUNDED_LIMIT
