"""A wheel is taken by its hash from pip, or from the cache, and no other file is."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from adapters.trips_file import file_sha256
from adapters.wheel import fetch_wheel
from contracts.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index, with one wheel that depends on something nobody has."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "citydata-1.0-py3-none-any.whl", "w") as wheel:
        info = "citydata-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: citydata\nVersion: 1.0\nRequires-Dist: gone\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_wheel_comes_by_hash_and_stays(index: Path, tmp_path: Path) -> None:
    """The second call needs no index."""
    sha256 = file_sha256(index / "citydata-1.0-py3-none-any.whl")
    wheel = fetch_wheel("citydata", "1.0", sha256, tmp_path / "cache")
    assert file_sha256(wheel) == sha256
    (index / wheel.name).unlink()
    assert fetch_wheel("citydata", "1.0", sha256, tmp_path / "cache") == wheel
    assert [path.name for path in wheel.parent.iterdir()] == [wheel.name]


def test_another_hash_is_refused(index: Path, tmp_path: Path) -> None:
    """Neither the index's file nor a damaged one in the cache passes, and pip's reason is told."""
    damaged = tmp_path / "cache" / "citydata-1.0-py3-none-any.whl"
    damaged.parent.mkdir()
    damaged.write_bytes(b"damaged")
    with pytest.raises(Unavailable, match=r"citydata==1\.0 unavailable \(pip download failed\).*Expected sha256 000"):
        fetch_wheel("citydata", "1.0", "0" * 64, tmp_path / "cache")
