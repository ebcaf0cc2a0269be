"""The manifest of an artifact directory: what the model is, how good, from what, and every file's hash."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any

import msgspec

from contracts.errors import ArtifactInvalid
from contracts.schema import hindsight

MANIFEST_FILE = "manifest.json"


class Parity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Native model against the exported one."""

    rows: int
    max_abs_diff_s: float
    branch_flips: int


class Lineage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a version comes from."""

    git_revision: str
    data_hashes: dict[str, str]
    mlflow_run: str
    created_at: str
    train_span: tuple[str, str]


class ModelManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a replica checks before it serves a version."""

    model: str
    version: int
    use_case: str
    schema_name: str
    schema_hash: str
    feature_names: tuple[str, ...]
    inputs: dict[str, str]  # tensor name -> dtype and shape in words
    outputs: dict[str, str]
    metrics: dict[str, float]
    parity: Parity
    lineage: Lineage
    files: dict[str, str]  # relative path -> SHA-256 hex
    manifest_version: int = 1

    def __post_init__(self) -> None:
        """Refuse to exist for a model that needs to know what comes after the request; raises ArtifactInvalid.

        Registering, publishing and serving all take a ModelManifest, so that none of them can meet such a model.
        """
        if later := hindsight(self.feature_names):
            words = f"{later[0]!r} and {len(later) - 1} more" if len(later) > 1 else repr(later[0])
            raise ArtifactInvalid(self.name, "hindsight", f"it reads {words}, known only after the trip began")

    @property
    def name(self) -> str:
        """The version's name in answers, logs and paths, such as ``eta@7``."""
        return f"{self.model}@{self.version}"

    def encode(self) -> bytes:
        """Readable JSON, the same bytes for the same manifest."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n"


def decode_manifest(raw: bytes, artifact: str) -> ModelManifest:
    """Parse a manifest; raises ArtifactInvalid on anything unknown, missing, or on a path that leaves the directory."""
    try:
        manifest = msgspec.json.decode(raw, type=ModelManifest)
    except msgspec.MsgspecError as error:
        raise ArtifactInvalid(artifact, "manifest", str(error)) from error
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or len(path.parts) != 1:
            raise ArtifactInvalid(artifact, "manifest", f"file name {name!r} leaves the artifact's directory")
    return manifest


def sha256(data: bytes | memoryview) -> str:
    """SHA-256 as hex."""
    return hashlib.sha256(data).hexdigest()


def describe(dtype: str, *shape: int | str) -> str:
    """A tensor in words, such as ``float32[-1,31]``."""
    dims: list[Any] = [*shape]
    return f"{dtype}[{','.join(str(d) for d in dims)}]"
