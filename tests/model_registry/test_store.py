"""Versions, aliases and where artifacts may come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import DataRefused, NotFound, Unavailable
from model_registry.store import ModelStore


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an artifact in it."""
    root = tmp_path_factory.mktemp("mlartifacts")
    (root / "run" / "artifact").mkdir(parents=True)
    (root / "run" / "artifact" / "eta.onnx").write_bytes(b"trees")
    return root


@pytest.fixture(scope="module")
def store(root: Path) -> ModelStore:
    """A registry in SQLite."""
    return ModelStore(f"sqlite:///{root.parent / 'mlflow.db'}", root.as_uri(), root.parent / "registry.lock")


def test_the_first_version_is_champion_and_later_ones_candidate(store: ModelStore, root: Path) -> None:
    """An alias comes with admission, not with the number, and admitting twice changes nothing."""
    source = (root / "run" / "artifact").as_uri()
    first, second = (store.register("eta", source, "run").version for _ in range(2))
    assert (first, second) == (1, 2)
    assert store.aliases("eta") == {}
    assert store.admit("eta", 1) == "champion"
    assert store.admit("eta", 2) == "candidate"
    assert store.admit("eta", 1) == "champion"
    assert [(entry.version, entry.aliases) for entry in store.versions("eta")] == [
        (1, ("champion",)),
        (2, ("candidate",)),
    ]


def test_fetch_copies_the_artifact(store: ModelStore, root: Path, tmp_path: Path) -> None:
    """The copy holds the files that were logged."""
    version = store.register("copied", (root / "run" / "artifact").as_uri(), "run").version
    copy = store.fetch("copied", version, tmp_path)
    assert (copy / "eta.onnx").read_bytes() == b"trees"
    with pytest.raises(NotFound, match="'copied@9' not found; registered: 1"):
        store.get("copied", 9)


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc",
        "/etc",
        "{root}",
        "{root}/../secrets",
        "{root}/%2e%2e/secrets",
        "{root}x/run",
        "{root}/link",
        "http://example.com/{path}/run",
        "file://host{path}/run",
        "{root}/run?x=1",
    ],
)
def test_sources_outside_the_artifact_root_are_refused(store: ModelStore, root: Path, source: str) -> None:
    """Neither when registering nor later, should the database have been written by others."""
    if not (root / "link").is_symlink():
        (root / "link").symlink_to("/etc")
    source = source.format(root=root.as_uri(), path=root)
    with pytest.raises(DataRefused, match="not below the artifact root"):
        store.register("eta", source, "run")


def test_a_source_that_was_changed_in_the_database_is_not_read(store: ModelStore, tmp_path: Path) -> None:
    """MLflow itself takes any source."""
    store._client.create_registered_model("tampered")
    store._client.create_model_version("tampered", "file:///etc", run_id="run")
    with pytest.raises(DataRefused, match="file:///etc"):
        store.fetch("tampered", 1, tmp_path)


def test_nothing_is_registered_under_an_unknown_name(store: ModelStore) -> None:
    """A model without versions has neither versions nor aliases."""
    assert store.versions("nobody") == []
    assert store.aliases("nobody") == {}


def test_a_rollout_moves_the_champion(store: ModelStore, root: Path) -> None:
    """The alias moves, twice is once, and a registry that refuses is an outage with its words."""
    source = (root / "run" / "artifact").as_uri()
    versions = [store.register("other", source, "run").version for _ in range(2)]
    assert store.admit("other", versions[0]) == "champion"
    for _ in range(2):
        store.set_champion("other", versions[1])
    assert store.aliases("other")["champion"] == versions[1]
    with pytest.raises(Unavailable, match="model registry unavailable"):
        store.set_champion("other", 99)
