"""`tandem retrain`: look at the champion and the trips since, and train a candidate where the policy asks for one.

It is made to be run by a timer. What it trains becomes a candidate by the same gates as any other; promoting it is left
to a rollout.
"""

from __future__ import annotations

import fcntl
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd
import yaml

from adapters.artifact_store import ETA_FILE, Artifact, read_artifact
from adapters.onnx_session import OnnxModel
from adapters.trips_file import file_sha256
from contracts.errors import InvalidInput, NotFound, Unavailable
from model_registry.store import CHAMPION, ModelStore
from pipelines.layout import MODEL, Layout
from pipelines.train import train
from pipelines.trips import read_trips
from pipelines.vectors import vectors_apart
from training.drift import Shift, compare, share_moved
from training.evaluate import score
from training.retraining import DEFAULT, Look, Memory, Policy, decide
from training.tiers import answers
from training.trip_vectors import TripVectors
from training.watched import ERROR, watch

_DAY: Final = pd.Timedelta(days=1)


def retrain(
    home: Path,
    *,
    policy_file: Path | None = None,
    dry_run: bool = False,
    now: float | None = None,
    params: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Take one look, and train a candidate where the policy asks for it.

    Args:
        home: TANDEM_HOME; the trips are its own.
        policy_file: YAML with fields of `training.retraining.Policy`; its defaults where none is given.
        dry_run: say what would be done, and remember nothing.
        now: epoch seconds; the clock's where none is given.
        params: settings of the training by dotted name.
        progress: whether to draw a progress bar on stderr.

    Returns:
        Whether a candidate was opened and why, what was found, and what the training said.

    Raises:
        GatesFailed: the candidate was not let through; the look is remembered, and the next waits for the gap.
        Unavailable: another process looks.
        InvalidInput, NotFound: of the policy's file and the trips.

    """
    layout, policy = Layout(home), _policy(policy_file)
    at = time.time() if now is None else now
    with _alone(layout.retraining):
        memory = _remembered(layout.retraining)
        look, shifts = _look(layout, policy)
        memory, decision = decide(policy, memory, look, at)
        result = {
            "opened": decision.open and not dry_run,
            "reason": decision.reason,
            "look": msgspec.to_builtins(look),
            "moved": [one.name for one in shifts if one.moved],
        }
        if dry_run:
            return {**result, "would_open": decision.open}
        _remember(layout.retraining, memory)  # before the training: one that is killed is not tried again at once
        if decision.open:
            because = f"retraining policy: {decision.reason}"
            result["candidate"] = train(home, params=params, because=because, progress=progress)
    return result


def _look(layout: Layout, policy: Policy) -> tuple[Look, list[Shift]]:
    champion = _champion(layout)
    if champion is None:
        return Look(version=None), []
    manifest, trips = champion.manifest, read_trips(layout.trips)
    learned_up_to = pd.Timestamp(manifest.lineage.train_span[1])
    pickup, last = trips["pickup_at"], trips["pickup_at"].max()
    same_file = manifest.lineage.data_hashes.get(layout.trips.name) == file_sha256(layout.trips)
    look = Look(
        version=manifest.version,
        made_at=datetime.fromisoformat(manifest.lineage.created_at).timestamp(),
        new_days=0.0 if same_file else max((last - learned_up_to) / _DAY, 0.0),
    )
    window = policy.window_days * _DAY
    before = ((pickup > learned_up_to - window) & (pickup <= learned_up_to)).to_numpy()
    after = (pickup > max(learned_up_to, last - window)).to_numpy()
    if look.new_days < policy.min_new_days or not before.any() or not after.any():
        return look, []
    vectors, model = vectors_apart(layout.zones, trips), OnnxModel(champion.files[ETA_FILE])
    shifts = _shifts(vectors.rows(before), vectors.rows(after), model)
    new = vectors.rows(after)
    mae_s = score(new.duration_s, answers(model, new.matrix).eta_s)["mae_s"]
    error = mae_s / manifest.metrics["student.mae_s"]
    return msgspec.structs.replace(look, drift=share_moved(shifts), error=error), shifts


def _shifts(before: TripVectors, after: TripVectors, model: OnnxModel) -> list[Shift]:
    """What moved from the trips that the champion learned from last; its errors on these say nothing."""
    sides = [
        {name: column for name, column in watch(trips, answers(model, trips.matrix)).items() if name != ERROR}
        for trips in (before, after)
    ]
    return compare(sides[0], sides[1], days=(before.context.day, after.context.day))


def _champion(layout: Layout) -> Artifact | None:
    registry = ModelStore(layout.mlflow_uri, layout.mlflow_artifacts, layout.registry_lock)
    version = registry.aliases(MODEL).get(CHAMPION)
    if version is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return read_artifact(registry.fetch(MODEL, version, Path(folder)))


def _policy(file: Path | None) -> Policy:
    if file is None:
        return DEFAULT
    if not file.is_file():
        raise NotFound("retraining policy", str(file))
    try:
        return msgspec.convert(yaml.safe_load(file.read_text()) or {}, Policy)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise InvalidInput(str(file), str(error)) from error


def _remembered(file: Path) -> Memory:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except msgspec.DecodeError as error:
        raise InvalidInput(str(file), f"{error}; delete it to begin anew") from error


def _remember(file: Path, memory: Memory) -> None:
    partial = file.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(memory))
    partial.replace(file)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable("retraining", "busy", "another `tandem retrain` is at work") from error
        yield
