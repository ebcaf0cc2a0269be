"""Versions in the MLflow registry, and which of them is champion. Which one serves is the route table's word."""

from __future__ import annotations

import fcntl
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from contracts.errors import DataRefused, NotFound, Unavailable

CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
TEACHER_FOLDER: Final = "teacher"  # of a run, beside its artifact: nothing that is published lies there


@dataclass(frozen=True)
class RegisteredVersion:
    """A version, the run it comes from and the folder its artifact lies in."""

    model: str
    version: int
    run_id: str
    source: str
    aliases: tuple[str, ...]


class ModelStore:
    """The registry at `uri`, with artifacts below `artifact_root` (a file URI).

    MLflow has no compare-and-set, and its concurrent alias writes fail at times: what writes holds `lock`.
    """

    def __init__(self, uri: str, artifact_root: str, lock: Path) -> None:
        # Read when MLflow is imported, which takes seconds: hence not above.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow import MlflowClient  # noqa: PLC0415

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        # Its own use of SQLAlchemy, which nobody here can mend.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy", module="mlflow")
        self._client: Any = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._uri = uri
        self._root = artifact_root
        self._lock = lock

    def register(self, model: str, source: str, run_id: str) -> RegisteredVersion:
        """Take a number for the artifact at `source`, which may still be on its way there; no alias yet.

        Raises DataRefused for a source outside the artifact root.
        """
        self._check_source(source)
        with self._exclusively():
            if not self._client.search_registered_models(f"name='{model}'"):
                self._client.create_registered_model(model)
            return _registered(self._client.create_model_version(model, source, run_id=run_id))

    def admit(self, model: str, version: int) -> str:
        """Give a complete version its alias: champion to the first, candidate to any later; returns the alias.

        A candidate becomes champion by a rollout, never here.
        """
        with self._exclusively():
            alias = CANDIDATE if self.aliases(model).get(CHAMPION, version) != version else CHAMPION
            self._client.set_registered_model_alias(model, alias, str(version))
            return alias

    def set_champion(self, model: str, version: int) -> None:
        """Move the champion's alias, as a rollout decided; doing it twice changes nothing. Raises Unavailable."""
        with self._exclusively(), _answering():
            self._client.set_registered_model_alias(model, CHAMPION, str(version))

    def aliases(self, model: str) -> dict[str, int]:
        """Version by alias; empty for a model without any. Raises Unavailable."""
        with _answering():
            found = self._client.search_registered_models(f"name='{model}'")
        return {alias: int(version) for alias, version in found[0].aliases.items()} if found else {}

    def versions(self, model: str) -> list[RegisteredVersion]:
        """Every version in ascending order."""
        found = self._client.search_model_versions(f"name='{model}'")
        by_version: dict[int, list[str]] = {}
        for alias, version in self.aliases(model).items():
            by_version.setdefault(version, []).append(alias)
        return sorted((_registered(entry, by_version) for entry in found), key=lambda entry: entry.version)

    def get(self, model: str, version: int) -> RegisteredVersion:
        """One version; raises NotFound with those there are."""
        versions = self.versions(model)
        for entry in versions:
            if entry.version == version:
                return entry
        known = ", ".join(str(entry.version) for entry in versions) or "none"
        raise NotFound("registered version", f"{model}@{version}", f"registered: {known}")

    def fetch(self, model: str, version: int, into: Path) -> Path:
        """Copy a version's artifact into a folder and return the copy; raises NotFound or DataRefused."""
        from mlflow.artifacts import download_artifacts  # noqa: PLC0415

        entry = self.get(model, version)
        self._check_source(entry.source)
        return Path(download_artifacts(artifact_uri=entry.source, dst_path=str(into), tracking_uri=self._uri))

    def fetch_teacher(self, model: str, version: int, into: Path) -> Path:
        """Copy a version's fold teachers, which lie beside its artifact; raises NotFound, or DataRefused."""
        from mlflow.artifacts import download_artifacts  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        entry = self.get(model, version)
        self._check_source(entry.source)
        beside = f"{entry.source.rstrip('/').rpartition('/')[0]}/{TEACHER_FOLDER}"
        missing = NotFound("teacher of", f"{model}@{version}", "it was trained without distillation")
        try:
            found = Path(download_artifacts(artifact_uri=beside, dst_path=str(into), tracking_uri=self._uri))
        except (MlflowException, OSError) as error:
            raise missing from error
        if not found.is_dir():
            raise missing
        return found

    def _check_source(self, source: str) -> None:
        # The registry itself takes file:///etc; and anybody who can write its database can say so later.
        root, found = urlsplit(self._root), urlsplit(source)
        inside = _path(found.path).is_relative_to(_path(root.path)) and _path(found.path) != _path(root.path)
        if (found.scheme, found.netloc) != (root.scheme, root.netloc) or found.query or found.fragment or not inside:
            raise DataRefused(source, f"not below the artifact root {self._root}")

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def _answering() -> Iterator[None]:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield
    except MlflowException as error:
        raise Unavailable("model registry", "failed", str(error)) from error


def _path(path: str) -> Path:
    return Path(unquote(path)).resolve()


def _registered(entry: Any, aliases: dict[int, list[str]] | None = None) -> RegisteredVersion:
    version = int(entry.version)
    named = tuple(sorted((aliases or {}).get(version, [])))
    return RegisteredVersion(entry.name, version, entry.run_id, entry.source, named)
