"""The README's commands, run as a new user would."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from adapters.valkey import free_port

ROOT = Path(__file__).parent.parent.parent
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A home and a port of the test's own, and nothing left running."""
    ports = {"TANDEM_PORT": str(free_port()), "TANDEM_GRPC_PORT": str(free_port())}
    env = os.environ | ports | {"TANDEM_HOME": str(tmp_path / "home")}
    yield env
    subprocess.run(["make", "down"], cwd=ROOT, env=env, check=False, capture_output=True)


@pytest.mark.e2e
def test_readme_blocks_run_from_top_to_bottom(environment: dict[str, str]) -> None:
    """From nothing to an estimate by the model, and down again with no process left."""
    outputs = []
    for block in BLOCKS:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        outputs.append(done.stdout)
    (answer,) = [json.loads(out) for out in outputs if out.startswith('{"request_id"')]
    assert [eta["source"] for eta in answer["etas"]] == ["model", "model"]
    assert all(eta["low_s"] <= eta["eta_s"] <= eta["high_s"] for eta in answer["etas"])
    home = environment["TANDEM_HOME"]
    left = [p.info for p in psutil.process_iter(["pid", "cmdline"]) if home in " ".join(p.info["cmdline"] or [])]
    assert left == []
