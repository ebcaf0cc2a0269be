"""Feast's objects are the contract's, and registering them again changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import InvalidInput
from contracts.features import VIEWS
from feature_repo import definitions
from feature_repo.store import open_store, redis_connection


def test_views_are_the_contracts(tmp_path: Path) -> None:
    """Names, entities, columns and TTL of every view are registered as the contract has them."""
    store = open_store(tmp_path, redis_url=None)
    registered = {view.name: view for view in store.list_feature_views()}
    assert set(registered) == {view.name for view in VIEWS}
    for view in VIEWS:
        found = registered[view.name]
        assert found.entities == [view.entity]
        assert tuple(field.name for field in found.features) == view.features
        assert found.ttl.total_seconds() == view.ttl_s
        assert found.batch_source.path == str(tmp_path.resolve() / "features" / f"{view.name}.parquet")


def test_a_home_is_opened_again(tmp_path: Path) -> None:
    """The second opening finds the first one's registry and adds nothing."""
    open_store(tmp_path, redis_url=None)
    store = open_store(tmp_path, redis_url=None)
    assert len(store.list_feature_views()) == len(VIEWS)
    assert sorted(entity.name for entity in store.list_entities()) == ["city", "pair", "zone", "zone_hour"]


def test_feast_finds_every_view_by_its_name() -> None:
    """`feast apply` collects module names: each view's name holds that view."""
    assert [getattr(definitions, view.name).name for view in VIEWS] == [view.name for view in VIEWS]


def test_feast_apply_works_in_the_folder(tmp_path: Path) -> None:
    """Feast's own command line registers the same objects, from the folder's own YAML."""
    (tmp_path / "feast").mkdir()
    folder = Path(definitions.__file__).parent
    command = [Path(sys.executable).with_name("feast"), "-c", folder, "apply", "--skip-source-validation"]
    environ = {**os.environ, "TANDEM_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(open_store(tmp_path, redis_url=None).list_feature_views()) == len(VIEWS)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6390", "127.0.0.1:6390"),
        ("redis://cache", "cache:6379"),
        ("rediss://me:p%40ss@cache:7000/2", "cache:7000,db=2,username=me,password=p@ss,ssl=true"),
    ],
)
def test_redis_urls_in_feasts_words(url: str, expected: str) -> None:
    """Host, port, database, user, password and TLS of a URL reach Feast's connection string."""
    assert redis_connection(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://:s3cret@cache",
        "redis://",
        "redis://:s3cret,b@cache",
        "unix://:s3cret@/run/valkey.sock",
        "redis://:s3cret/0@cache",
        "redis://:s3cret@cache/first",
        "redis://:s3cret@[cache",
        "s3cret",
    ],
)
def test_what_feast_cannot_take_is_refused(url: str) -> None:
    """A scheme, port or database that is none, no host, or a password that its string can't carry: never echoed."""
    with pytest.raises(InvalidInput) as refused:
        redis_connection(url)
    assert "s3" not in str(refused.value)
