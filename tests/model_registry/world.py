"""A small world for the controller: a clock that is told the time, a registry in memory, state in real SQLite."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.ledger import Ledger, Record
from adapters.state import State
from bench.simulated_arms import Arms, Truth
from contracts.errors import ArtifactInvalid, NotFound, Unavailable
from contracts.roles import Actor
from contracts.routes import RouteTable
from model_registry.controller import Controller
from model_registry.desk import Desk
from model_registry.policy import Policy, parse_policy
from model_registry.rollout import Rollout

START = 1_700_000_000.0
GOOD_END = 40  # ticks in which a good candidate surely arrives
BAD_SCHEMA = "digest of one that no replica can load"
OPERATOR = Actor("olga", "operator")
ADMIN = Actor("ada", "admin")
POLICY = """
model: eta
interval: 60s
steps:
  - shadow: {percent: 100, for: 2m, min_samples: 100}
  - canary: {weight: 5, for: 2m, min_samples: 100}
  - canary: {weight: 25, for: 2m, min_samples: 100}
  - ab: {weight: 50, metric: abs_error_s, cuped: true, min_units: 500, max_for: 1h}
guardrails:
  - {metric: error_rate, max: 0.01, for: 3m, hard: {max: 0.5, min_samples: 20}}
  - {metric: latency_p99_ms, max: 150, for: 3m}
  - {metric: fallback_rate, max: 0.02, for: 3m}
  - {metric: mae_ratio, max: 1.2, baseline: champion, min_labels: 50, for: 3m}
  - {metric: srm_p_value, min: 0.001, sequential: true}
decide: {ab: non_inferior, margin: 0.1, at_max_for: pause}
progress_deadline: 1h
"""


def small_policy(more: str = "") -> Policy:
    """The policy above, and what else it may say."""
    return parse_policy(POLICY + more)


@dataclass
class Hands:
    """A clock that moves when it is told to."""

    time: float = START

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time


@dataclass
class Shelf:
    """A registry in memory; `down` makes it unavailable."""

    alias: dict[str, int] = field(default_factory=lambda: {"eta": 1})
    artifacts: dict[int, str] = field(default_factory=lambda: {n: f"digest of {n}" for n in range(1, 6)})
    down: bool = False

    def champion(self, model: str) -> int | None:
        """The alias."""
        self._up()
        return self.alias.get(model)

    def set_champion(self, model: str, version: int) -> None:
        """Move it."""
        self._up()
        self.alias[model] = version

    def verify(self, model: str, version: int) -> None:
        """Nothing is wrong with what is there, but for what is marked so."""
        if self.fingerprint(model, version) == BAD_SCHEMA:
            raise ArtifactInvalid(f"{model}@{version}", "schema", "made for another")

    def fingerprint(self, model: str, version: int) -> str:
        """The artifact's digest."""
        if version not in self.artifacts:
            raise NotFound("artifact", f"{model}@{version}")
        return self.artifacts[version]

    def _up(self) -> None:
        if self.down:
            raise Unavailable("registry", "refused")


@dataclass
class Wire:
    """A webhook's receiver; `down` makes it unavailable."""

    got: list[str] = field(default_factory=list)
    down: bool = False

    def post(self, body: bytes, key: str) -> None:
        """Take a message."""
        assert body
        if self.down:
            raise Unavailable("webhook", "refused")
        self.got.append(key)


class World:
    """Everything outside of the controller's process, and processes of it on demand."""

    def __init__(self, folder: Path, arms: Arms | None = None) -> None:
        self.url = f"sqlite:///{folder / 'state.db'}"
        self.clock, self.shelf, self.wire = Hands(), Shelf(), Wire()
        self.arms: Any = arms or Arms(seed=1, rate=20.0, label_delay_s=60.0)
        self.opened: list[Any] = []
        self.ledger, self.state = self.open()
        self.state.put_route_table(RouteTable("eta", 1, champion=1))
        self.desk = Desk(self.ledger, self.state, self.shelf, self.clock)
        self.controller = self.process()

    def open(self) -> tuple[Ledger, State]:
        """A process's own connections."""
        opened = Ledger(self.url), State(self.url)
        self.opened.extend(opened)
        return opened

    def process(self, holder: str = "a") -> Controller:
        """A controller that knows nothing but the database."""
        ledger, state = self.open()
        return Controller(
            ledger, state, self.arms, self.shelf, clock=self.clock, holder=holder, webhook=self.wire, lease_s=15.0
        )

    def close(self) -> None:
        """Close all connections."""
        for each in self.opened:
            each.close()

    def start(self, policy: Policy | None = None, candidate: int = 2) -> Rollout:
        """Start a rollout."""
        return self.desk.start(policy or small_policy(), candidate, OPERATOR, "try it")

    def tick(self, times: int = 1) -> Rollout:
        """Let minutes pass, with a tick after each; returns the newest rollout."""
        for _ in range(times):
            self.clock.time += 60.0
            assert self.controller.tick("eta")
        return self.latest()

    def latest(self) -> Rollout:
        """The newest rollout."""
        return self.desk.records.history("eta")[-1]

    def table(self) -> RouteTable:
        """The route table in force."""
        return self.state.route_table("eta")

    def phases(self) -> list[str]:
        """The journal's actions in order."""
        return [record.entry.action for record in self.journal()]

    def journal(self) -> list[Record]:
        """All of the journal."""
        return self.ledger.journal()


BAD = Truth(error=0.05)
BROKEN = Truth(error=1.0)
SLOW = Truth(p99_ms=300.0)
