"""The manifest of a version's fold teachers: what `tandem label` checks before it lets them label.

Another type in another file than a model's manifest, with keys that a ModelManifest refuses and without those that it
needs: nothing that publishes or serves can take the one for the other.
"""

from __future__ import annotations

import msgspec

from contracts.errors import ArtifactInvalid
from contracts.manifest import Lineage

TEACHER_FILE = "teacher.json"


class TeacherManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Teachers, one a fold: none has seen a label of its own fold, nor a feature made of one."""

    model: str
    version: int
    schema_name: str
    schema_hash: str
    feature_names: tuple[str, ...]
    lineage: Lineage
    folds: tuple[str, ...]  # the folds' files, by number of the fold
    files: dict[str, str]  # relative path -> SHA-256 hex
    offline_only: bool = True

    @property
    def name(self) -> str:
        """The teachers' name in labels and logs, such as ``eta@7/teacher``."""
        return f"{self.model}@{self.version}/teacher"

    def encode(self) -> bytes:
        """Readable JSON, the same bytes for the same manifest."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n"


def decode_teacher(raw: bytes, artifact: str) -> TeacherManifest:
    """Parse a manifest; raises ArtifactInvalid on anything unknown or missing, and on a fold without its file."""
    try:
        manifest = msgspec.json.decode(raw, type=TeacherManifest)
    except msgspec.MsgspecError as error:
        raise ArtifactInvalid(artifact, "teacher manifest", str(error)) from error
    if unlisted := [name for name in manifest.folds if name not in manifest.files]:
        raise ArtifactInvalid(artifact, "teacher manifest", f"{unlisted[0]!r} has no hash")
    if not manifest.folds or not manifest.offline_only:
        raise ArtifactInvalid(artifact, "teacher manifest", "it has no fold, or says that it may serve")
    return manifest
