"""What a suite of acceptance measurements is, and what all of them are given."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.artifact_store import ETA_FILE
from adapters.onnx_session import OnnxModel
from bench.acceptance import Line
from bench.online import Online, online
from bench.ports import free_port
from bench.rows.protocol import Site
from bench.serving import find_artifact, machine


@dataclass(frozen=True)
class Bench:
    """The model that all measure, a folder to work in, and how long to take."""

    artifact: Path
    made_up: bool
    scratch: Path
    say: Callable[[str], None]
    quick: bool = False
    minutes: float = 10.0

    @property
    def model(self) -> OnnxModel:
        """The model in this process."""
        return OnnxModel((self.artifact / ETA_FILE).read_bytes())

    def site(self, ground: Online, artifact: Path | None = None) -> Site:
        """A place for a stack over a filled Valkey, with this model or another."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        model = ((artifact or self.artifact) / ETA_FILE).resolve()
        return Site(
            bin=Path(sys.executable).parent,
            model=model,
            port=free_port(),
            scratch=self.scratch.resolve(),
            aside=free_port(),
            redis_url=ground.url,
            feast=ground.repository,
        )

    @contextmanager
    def ground(self) -> Iterator[Online]:
        """A real Valkey that Feast has filled."""
        with online(self.artifact, (self.scratch / "online").resolve()) as filled:
            yield filled


@dataclass(frozen=True)
class Suite:
    """`run` measures and returns plain data; `lines` judges it; `page` tells it in markdown, in a document of docs/."""

    name: str
    title: str
    run: Callable[[Bench], dict[str, Any]]
    lines: Callable[[dict[str, Any]], Sequence[Line]]
    page: Callable[[dict[str, Any]], str]
    document: str = "performance.md"


def measured(suite: Suite, home: Path, say: Callable[[str], None], *, quick: bool, minutes: float) -> dict[str, Any]:
    """Run a suite and add when, where and on which model."""
    begun, here, cache = time.monotonic(), machine(), home / "bench"
    artifact, made_up = find_artifact(home, cache)
    result = suite.run(Bench(artifact, made_up, cache / "scratch" / suite.name, say, quick, minutes))
    return {
        "suite": suite.name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(time.monotonic() - begun),
        "quick": quick,
        "machine": here,
        "model": {
            "file": "a stand-in of the student's size" if made_up else artifact.name,
            "sha256": hashlib.sha256((artifact / ETA_FILE).read_bytes()).hexdigest(),
            "bytes": (artifact / ETA_FILE).stat().st_size,
        },
        **result,
    }
