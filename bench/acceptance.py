"""Lines of acceptance: what is asked, what was found, and whether the one meets the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One promise; `met` is None where there was nothing to judge by, which is not a pass."""

    what: str
    target: str
    figure: str
    met: bool | None


def at_most(what: str, value: float | None, limit: float, unit: str, digits: int = 2) -> Line:
    """Judge a figure that must not be above its limit."""
    figure = "not measured" if value is None else f"{value:,.{digits}f}{unit}"
    return Line(what, f"≤ {limit:,g}{unit}", figure, None if value is None else value <= limit)


def at_least(what: str, value: float | None, limit: float, unit: str, digits: int = 2) -> Line:
    """Judge a figure that must not be below its limit."""
    figure = "not measured" if value is None else f"{value:,.{digits}f}{unit}"
    return Line(what, f"≥ {limit:,g}{unit}", figure, None if value is None else value >= limit)


def table(lines: Sequence[Line]) -> str:
    """Lay the lines out in markdown."""
    words = {True: "met", False: "**not met**", None: "not measured"}
    rows = [f"| {line.what} | {line.target} | {line.figure} | {words[line.met]} |" for line in lines]
    return "\n".join(["| acceptance | target | figure | |", "|---|---|---|---|", *rows])
