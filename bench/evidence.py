"""What evidence of a rollout costs: requests a second of processor time, first out of segments, then out of Parquet.

`python -m bench.evidence [--requests 200000]`: a canary of 5 % with outcomes for six in ten; JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.state import State
from contracts.features import ETA_SCHEMA, LOOKUPS
from contracts.messages import Outcome
from contracts.predictions import HASH_CHARACTERS, Prediction, SegmentHead
from model_registry.lifecycle import Phase
from model_registry.policy import read_policy
from model_registry.rollout import Rollout, route_table
from pipelines.compaction import compact
from pipelines.evidence import LogEvidence
from pipelines.matured import SETTLE_S
from serving.prediction_log import PredictionLog
from serving.request_ids import RequestIds

START = 1_800_000_000.0
RATE = 500.0  # requests a second of the log's own time
CUT_S = 3600.0
WITH_OUTCOME = 0.6
UNITS = 5000
BATCH = 500
POLICY = Path(__file__).parent.parent / "model_registry" / "policies" / "eta.yaml"


@dataclass
class Told:
    """A clock that is told the time; the looks' budget never ends."""

    seconds: float = START

    def now(self) -> float:
        """Epoch seconds."""
        return self.seconds

    def monotonic(self) -> float:
        """The same."""
        return self.seconds


def canary() -> Rollout:
    """The shipped policy in its 5 % step."""
    return Rollout(
        id="eta-1",
        model="eta",
        champion=1,
        candidate=2,
        fingerprint="",
        policy=read_policy(POLICY),
        entered_at=START,
        since=START,
        progress_at=START,
        phase=Phase.CANARY,
        step=2,
    )


def answer(request_id: str, at: float, unit: str, *, by_candidate: bool) -> Prediction:
    """One trip, with as many features as the ETA model takes."""
    return Prediction(
        request_id=request_id,
        at=at,
        kind="eta",
        unit=unit,
        generation=1,
        version=2 if by_candidate else 1,
        arm="canary" if by_candidate else "champion",
        schema_hash=ETA_SCHEMA.schema_hash()[:HASH_CHARACTERS],
        ids=["a"],
        pickup=["74"],
        dropoff=["138"],
        starts=struct.pack("<d", at),
        features=bytes(4 * len(ETA_SCHEMA.features)),
        ages=bytes(4 * len(LOOKUPS)),
        answers=struct.pack("<3f", 600.0, 480.0, 720.0),
        fallback=b"",
        reason="",
        server_ms=0.25,
        model_ms=0.05,
    )


def write(folder: Path, state: State, clock: Told, requests: int) -> None:
    """Log requests in the log's own time, and what became of most of them."""
    draw, ids, outcomes = random.Random(1), RequestIds(b"a secret"), list[Outcome]()  # noqa: S311 - the same every time
    log = PredictionLog(folder, SegmentHead.of(ETA_SCHEMA, LOOKUPS, "bench"), clock=clock)
    for i in range(requests):
        clock.seconds = at = START + i / RATE
        request_id, unit = ids.issue(at), f"rider-{draw.randrange(UNITS)}"
        log.append(answer(request_id, at, unit, by_candidate=draw.random() < 0.05))
        if draw.random() < WITH_OUTCOME:
            ended = datetime.fromtimestamp(at + 60, UTC)
            outcomes.append(Outcome(request_id=request_id, id="a", event="completed", at=ended, actual_s=700.0))
        if i % BATCH == BATCH - 1:
            log.flush()
            state.add_outcomes(outcomes, at + 60)
            outcomes = []
    log.close()


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a call, and what it gives."""
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def measure(folder: Path, requests: int) -> dict[str, float]:
    """Write, look, compact, look from nothing, and once more when all labels are mature."""
    log, clock, rollout = folder / "predictions", Told(), canary()
    state = State(f"sqlite:///{folder / 'state.db'}")
    state.put_route_table(route_table(rollout, 1))
    write(log, state, clock, requests)
    ended = START + requests / RATE

    def source() -> LogEvidence:
        return LogEvidence(log, state, cut_s=CUT_S, clock=clock)

    first = source()
    from_segments, evidence = timed(lambda: first.evidence(rollout, ended))
    assert sum(evidence.units) > 0
    idle, _ = timed(lambda: first.evidence(rollout, ended))
    compact(log, keep_bytes=1 << 40)
    from_parquet, _ = timed(lambda: source().evidence(rollout, ended))
    labels, _ = timed(lambda: first.evidence(rollout, ended + CUT_S + SETTLE_S + 60))
    return {
        "requests": requests,
        "from_segments_per_s": round(requests / from_segments),
        "from_parquet_per_s": round(requests / from_parquet),
        "a_look_without_news_ms": round(1e3 * idle, 1),
        "labels_joined": first.outcomes["joined"],
        "requests_with_labels_per_s": round(requests / labels),
    }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measure(Path(name), parser.parse_args().requests), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
