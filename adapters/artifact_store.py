"""Artifact directories, such as ``eta@7/``: read with every hash verified, published whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.durable import sync
from contracts.errors import ArtifactInvalid, NotFound, Unavailable
from contracts.manifest import MANIFEST_FILE, ModelManifest, decode_manifest, sha256

ETA_FILE: Final = "eta.onnx"  # one trip at a time
MATRIX_FILE: Final = "matrix.onnx"  # hundreds at a time
HEURISTIC_FILE: Final = "heuristic.parquet"
GOLDEN_FILE: Final = "golden.parquet"
ZONES_FILE: Final = "zones.parquet"

_MODEL: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Artifact:
    """A manifest and the bytes of every file it lists, whose hashes were found right."""

    manifest: ModelManifest
    files: Mapping[str, bytes]


def read_artifact(directory: Path) -> Artifact:
    """Read an artifact; what is checked is what is returned, so a later change of the files does no harm.

    Raises ArtifactInvalid where the manifest or a file is missing, unreadable or not what its hash says.
    """
    artifact = directory.name
    manifest = decode_manifest(_read(directory, MANIFEST_FILE), artifact)
    if not _MODEL.fullmatch(manifest.model) or manifest.version < 1:
        raise ArtifactInvalid(artifact, "manifest", f"{manifest.name!r} is no name of a version")
    files = {name: _read(directory, name) for name in manifest.files}
    for name, content in files.items():
        if (found := sha256(content)) != manifest.files[name]:
            raise ArtifactInvalid(artifact, "hash", f"{name} has {found}, expected {manifest.files[name]}")
    return Artifact(manifest, files)


class ArtifactStore:
    """The published versions below one folder, each a directory that never changes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self, model: str) -> list[int]:
        """Published versions in ascending order."""
        names = (path.name.removeprefix(f"{model}@") for path in self._root.glob(f"{model}@*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def path(self, model: str, version: int) -> Path:
        """Directory of a version; raises NotFound."""
        directory = self._root / f"{model}@{version}"
        if not _MODEL.fullmatch(model) or not directory.is_dir():
            known = ", ".join(f"{model}@{v}" for v in self.versions(model)) or "none"
            raise NotFound("artifact", f"{model}@{version}", f"published: {known}")
        return directory

    def read(self, model: str, version: int) -> Artifact:
        """Read a published version; raises NotFound, or ArtifactInvalid also where the directory holds another one."""
        directory = self.path(model, version)
        artifact = read_artifact(directory)
        if artifact.manifest.name != directory.name:
            raise ArtifactInvalid(directory.name, "manifest", f"it is the one of {artifact.manifest.name}")
        return artifact

    def publish(self, artifact: Artifact) -> Path:
        """Write a version to disk and then show it under its name; publishing the same once more changes nothing.

        Raises ArtifactInvalid where the version is there with other content.
        """
        manifest = artifact.manifest
        directory = self._root / manifest.name
        self._root.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{manifest.name}.", dir=self._root))
        try:
            for name, content in {**artifact.files, MANIFEST_FILE: manifest.encode()}.items():
                _write_through(partial / name, content)
            partial.chmod(0o755)
            sync(partial)
            partial.rename(directory)
            sync(self._root)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise
            if self.read(manifest.model, manifest.version).manifest != manifest:
                detail = f"{directory} holds other content; a published version never changes"
                raise ArtifactInvalid(manifest.name, "version", detail) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return directory


def _read(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ArtifactInvalid(directory.name, "file", f"{name}: {error.strerror}") from error
    except OSError as error:  # the disk's fault, which may pass, and says nothing of the content
        raise Unavailable("artifact store", "not_read", f"{directory.name}/{name}: {error.strerror}") from error


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
