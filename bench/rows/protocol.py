"""What a row of a table declares, and what it is told about the place it runs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.wire import Wire

APPS = Path(__file__).parent.parent / "apps"
PROJECT = APPS.parent.parent


@dataclass(frozen=True)
class Site:
    """Where a row's server runs: its interpreter's folder, the model that all share, a free port and a folder."""

    bin: Path
    model: Path
    port: int
    scratch: Path
    aside: int = 0  # a second free port, for a row of two servers
    redis_url: str = ""  # table B: the Valkey that Feast has filled
    feast: Path = Path()  # table B: the Feast repository over it

    @property
    def host(self) -> str:
        """Everything listens on loopback."""
        return "127.0.0.1"


def nothing(_: Site) -> None:
    """Most servers need no preparation."""


def no_variables(_: Site) -> Mapping[str, str]:
    """Most servers are told all by their command."""
    return {}


@dataclass(frozen=True)
class Row:
    """A tool as it is benchmarked: how it is started, how it is spoken to, and who says that this is right.

    `peer` names the lock file of the row's own environment; without one it runs in the project's. `settings` tells
    in words what was chosen, `source` the page of the tool's documentation that says so.
    """

    name: str
    table: Literal["A", "B"]
    wire: Wire
    command: Callable[[Site], list[str]]
    packages: tuple[str, ...]
    settings: str
    source: str
    peer: str = ""
    prepare: Callable[[Site], None] = nothing
    variables: Callable[[Site], Mapping[str, str]] = no_variables
    stop_signal: int = field(default=15)
    ready_s: float = 120.0
