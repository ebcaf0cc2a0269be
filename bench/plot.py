"""The picture of a result: how much each row carries, and how fast it answers while it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

OURS, LIMIT, PEER = "#0b7285", "#adb5bd", "#e8590c"
INK, FAINT = "#212529", "#dee2e6"


def draw(result: dict[str, Any], path: Path) -> None:
    """Write an SVG: a line of panels a table, bars of the highest rate by request size, then the p99 over the rate."""
    tables = [t for t in ("A", "B") if any(row["table"] == t and row["median"] for row in result["rows"])]
    sizes = result["plan"]["sizes"]
    most = max(sum(row["table"] == t for row in result["rows"]) for t in tables)
    figure = Figure(figsize=(13, (1.2 + 0.42 * most) * len(tables) + 0.6), layout="constrained")
    FigureCanvasSVG(figure)
    grid = figure.subplots(len(tables), len(sizes) + 1, squeeze=False)
    for table, panels in zip(tables, grid, strict=True):
        rows = [row for row in result["rows"] if row["table"] == table and row["median"]]
        rows.sort(key=lambda row: row["median"]["highest"][str(sizes[0])])
        for panel, size in zip(panels, sizes, strict=False):
            _bars(panel, rows, size, table, named=size == sizes[0])
        _lines(panels[-1], rows, sizes[0])
    figure.savefig(path, format="svg", metadata={"Date": None})


def _bars(panel: Axes, rows: list[dict[str, Any]], size: int, table: str, *, named: bool) -> None:
    rates = [row["median"]["highest"][str(size)] for row in rows]
    bars = panel.barh(range(len(rows)), rates, color=[_colour(row["name"]) for row in rows], height=0.7)
    panel.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, color=INK, fontsize=8)
    panel.set_yticks(range(len(rows)), [row["name"] for row in rows] if named else [""] * len(rows), fontsize=9)
    panel.set_title(f"{table} · requests/s with p99 < 150 ms, {size} a request", fontsize=9, loc="left", color=INK)
    panel.set_xlim(0, max(rates) * 1.18 or 1)
    panel.grid(axis="x", color=FAINT)
    _plain(panel)


def _lines(panel: Axes, rows: list[dict[str, Any]], size: int) -> None:
    for row in rows:
        steps = sorted(
            (s["rate"], s["p99_ms"]) for s in row["median"]["steps"] if s["size"] == size and not s["failed"]
        )
        if steps:
            rates, p99 = zip(*steps, strict=True)
            panel.plot(rates, p99, marker="o", markersize=3, linewidth=1.5, color=_colour(row["name"]))
            panel.annotate(
                row["name"], (rates[-1], p99[-1]), textcoords="offset points", xytext=(5, 0), fontsize=7, va="center"
            )
    panel.set_xscale("log")
    panel.set_yscale("log")
    shown = sorted({s["rate"] for row in rows for s in row["median"]["steps"]})
    panel.set_xticks(shown, [f"{rate:,.0f}" for rate in shown])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_title(f"p99 ms over requests/s, {size} a request", fontsize=9, loc="left", color=INK)
    panel.margins(x=0.35)
    panel.grid(color=FAINT)
    _plain(panel)


def _plain(panel: Axes) -> None:
    panel.set_axisbelow(True)
    panel.tick_params(length=0, labelsize=8, colors=INK)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color(FAINT)


def _colour(name: str) -> str:
    if name.startswith("Tandem"):
        return OURS
    return LIMIT if name.startswith("Limit") else PEER
