"""The house's plan, held against the code."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("adapters", "contracts", "feature_repo", "model_registry", "pipelines", "serving", "simulation", "training")
HEAVY = {"feast", "mlflow", "lightgbm", "pandas", "pyarrow", "ray", "sklearn", "onnxmltools"}


def modules_after(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter that ran one statement."""
    code = f"{statement}\nimport sys; print(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def files(room: str) -> list[Path]:
    """Python files of a room."""
    return [path for path in (ROOT / room).rglob("*.py") if path.read_text().strip()]


def module(path: Path) -> str:
    """The name a file is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_imports_point_down_only() -> None:
    """import-linter's contracts, which are the design document, hold."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]


def test_contracts_load_no_heavy_library() -> None:
    """import-linter can't see what a library brings along; a fresh interpreter can."""
    names = [module(path) for path in files("contracts") if path.stem != "__init__"]
    assert not modules_after("import " + ", ".join(names)) & (HEAVY | {"onnxruntime", "redis", "sqlalchemy"})


def test_the_replica_loads_no_offline_library() -> None:
    """The request path's modules bring neither Feast, MLflow, LightGBM nor pandas into the process."""
    names = [module(path) for path in files("serving") if path.stem not in {"__init__", "deployments", "app"}]
    assert not modules_after("import " + ", ".join(names)) & (HEAVY - {"pyarrow"})


def test_importing_any_module_does_nothing(tmp_path: Path) -> None:
    """No folder made, no file written, no MLflow address set by an import."""
    names = [module(path) for room in ROOMS for path in files(room) if path.stem not in {"__init__", "__main__"}]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(names)}"
    subprocess.run([sys.executable, "-B", "-c", code], check=True, cwd=tmp_path, capture_output=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", ROOMS)
def test_files_stay_short(room: str) -> None:
    """The median file of a room is under 120 lines."""
    lengths = [len(path.read_text().splitlines()) for path in files(room)]
    assert statistics.median(lengths) < 120


def test_only_definitions_holds_feast_objects() -> None:
    """`feast apply` imports every module of its repo: a second one with Feast objects loads them twice."""
    for path in files("feature_repo"):
        if path.stem not in {"definitions", "store"}:
            assert "import feast" not in path.read_text()
            assert "from feast" not in path.read_text()
