"""The gates that a trained version passes on its way into the registry, held against the champion there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from adapters.artifact_store import ETA_FILE, MATRIX_FILE, Artifact, read_artifact
from adapters.onnx_session import OnnxModel
from adapters.tables import Golden
from contracts.errors import ArtifactInvalid
from contracts.features import ETA_SCHEMA
from contracts.manifest import Parity
from contracts.trips import CITY_TZ
from model_registry.store import CHAMPION, ModelStore
from pipelines.layout import MODEL, Layout
from pipelines.vectors import LearningData, labels
from training.evaluate import Estimates
from training.evidence import Champion, gather
from training.frontier import BATCHES
from training.gates import GateResult, GatesFailed, NoReference, judge
from training.golden import golden_rows
from training.parity import agreement, full_parity
from training.settings import TrainingSettings
from training.students import TREE, Candidate
from training.tiers import BASELINE, Tiers

BASELINES: Final = (BASELINE, "haversine")
Verdicts = dict[str, tuple[str, list[GateResult]]]  # by use: the candidate, and every gate's verdict


def judge_tiers(
    layout: Layout,
    data: LearningData,
    tiers: Tiers,
    *,
    estimates: Mapping[str, Estimates],
    parity: Parity,
    settings: TrainingSettings,
    without_champion: str | None = None,
) -> Verdicts:
    """Hold the winner of each use against the champion's model for it; `parity` is that of the winner for one trip.

    `without_champion` is somebody's reason to let a candidate through that can't be held against the champion.
    """
    champion = _champion(layout, data, without_champion)
    verdicts: Verdicts = {}
    for use, batch, candidate in ((ETA_FILE, BATCHES[0], tiers.for_one), (MATRIX_FILE, BATCHES[-1], tiers.for_many)):
        same = candidate is tiers.for_one
        evidence = gather(
            candidate,
            use=use,
            batch=batch,
            parity=parity if same else measure_parity_of(candidate, tiers, data, settings),
            test=data.test,
            labels=labels(data.test),
            golden=golden_of(candidate, data, settings),
            estimates=estimates,
            baselines=BASELINES,
            schema=ETA_SCHEMA,
            champion=champion if isinstance(champion, NoReference) else _model_for(champion, use),
        )
        verdicts[use] = (candidate.name, judge(evidence))
    return verdicts


def require(verdicts: Verdicts) -> None:
    """Raise GatesFailed for the first use with a gate that was not passed."""
    for use, (candidate, results) in verdicts.items():
        if not all(one.passed for one in results):
            raise GatesFailed(use, candidate, results)


def table(verdicts: Verdicts) -> dict[str, dict[str, Any]]:
    """Verdicts by use and gate, as they are logged and printed."""
    return {
        use: {one.name: {"passed": one.passed, "candidate": candidate, "evidence": one.words} for one in results}
        for use, (candidate, results) in verdicts.items()
    }


def comparison(verdicts: Verdicts) -> str:
    """Whether the version was held against a champion, in words; the same for every use."""
    _, results = verdicts[ETA_FILE]
    return next(one.words for one in results if one.name == "comparison")


def measure_parity_of(candidate: Candidate, tiers: Tiers, data: LearningData, settings: TrainingSettings) -> Parity:
    """A candidate's export against its native model, on rows learned from; a tree also at each threshold."""
    matrix, rows, seed = data.learn.matrix, settings.parity_rows, settings.seed
    if candidate.family == TREE:
        return full_parity(tiers.tree.booster, tiers.tree.head, candidate.graph, matrix, rows=rows, seed=seed)
    return agreement(candidate.native, candidate.served, matrix, rows=rows, seed=seed)


def golden_of(candidate: Candidate, data: LearningData, settings: TrainingSettings) -> Golden:
    """The rows that a replica asks a model before it trusts it."""
    rows, seed = settings.golden_rows, settings.seed
    return golden_rows(candidate.served, data.learn.matrix, ETA_SCHEMA, rows=rows, seed=seed)


def _champion(layout: Layout, data: LearningData, accepted: str | None) -> Artifact | NoReference:
    """The champion's artifact, or why a comparison with it would say nothing."""
    registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
    version = registry.aliases(MODEL).get(CHAMPION)
    if version is None:
        return NoReference("it is the first version", accepted=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            artifact = read_artifact(registry.fetch(MODEL, version, Path(folder)))
    except ArtifactInvalid as error:
        return _incomparable(str(error), "mend or replace it", accepted)
    manifest, learned_up_to = artifact.manifest, artifact.manifest.lineage.train_span[1]
    if manifest.schema_hash != ETA_SCHEMA.schema_hash():
        why = f"{manifest.name} reads vectors of another schema, {manifest.schema_hash[:12]}…"
        return _incomparable(why, "compare them on live traffic", accepted)
    if pd.Timestamp(learned_up_to) >= pd.Timestamp(data.test_from, tz=CITY_TZ):
        why = f"{manifest.name} has learned from trips of the test, up to {learned_up_to}"
        return _incomparable(why, f"test from a later day (--test-from), not {data.test_from}", accepted)
    return artifact


def _incomparable(why: str, mend: str, accepted: str | None) -> NoReference:
    if accepted:
        return NoReference(f"{why}; let through all the same (--without-champion): {accepted}", accepted=True)
    return NoReference(f"{why}; {mend}, or let it through by --without-champion REASON", accepted=False)


def _model_for(artifact: Artifact, use: str) -> Champion:
    """The champion's model for a use; a version of before there were two answers both with one."""
    return Champion(artifact.manifest.name, OnnxModel(artifact.files.get(use, artifact.files[ETA_FILE])))
