"""Pictures of a training run; each function returns a figure of its own, none touches matplotlib's global state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from contracts.schema import Floats

INK: Final = "#1f2933"
MUTED: Final = "#7b8794"
GRID: Final = "#e4e7eb"
BLUE: Final = "#2563a8"
AMBER: Final = "#d9822b"
PALE: Final = "#b8c4d0"
DEPTH: Final = LinearSegmentedColormap.from_list("depth", ["#e8f0f8", "#7fb0dd", BLUE, "#0b2545"])

Table = Mapping[str, Mapping[str, float]]
_MINUTE = 60.0
_TOP = 25


def compare_models(figures: Table) -> Figure:
    """Mean absolute error by model, best at the bottom, with its 95 % interval where there is one."""
    names = sorted(figures, key=lambda name: -figures[name]["mae_s"])
    minutes = np.array([figures[name]["mae_s"] for name in names]) / _MINUTE
    figure, axes = _figure(8.0, 0.55 * len(names) + 1.6, "Mean absolute error on the test trips")
    axes.barh(names, minutes, color=[BLUE if name in {"student", "teacher"} else PALE for name in names], height=0.62)
    for row, name in enumerate(names):
        low, high = (figures[name].get(f"mae_{side}_s", figures[name]["mae_s"]) / _MINUTE for side in ("low", "high"))
        axes.plot([low, high], [row, row], color=INK, linewidth=1.4, solid_capstyle="round")
        axes.annotate(
            f"{minutes[row]:.2f}", (max(high, minutes[row]), row), (6, 0), textcoords="offset points", va="center"
        )
    axes.set_xlabel("minutes, with the 95 % interval over days")
    axes.set_xlim(0, minutes.max() * 1.12)
    axes.invert_yaxis()
    return figure


def error_by_slice(slices: Mapping[str, Table], baseline: Mapping[str, Table]) -> Figure:
    """Mean absolute error of the student in each slice (bars) against the pair median (marks)."""
    figure = Figure(figsize=(11.0, 7.2), layout="constrained")
    figure.suptitle("Where the student errs", x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK)
    grid = figure.subplots(2, 2)
    for axes, (name, rows) in zip(grid.ravel(), slices.items(), strict=False):
        labels = list(rows)
        places = np.arange(len(labels))
        axes.bar(places, [rows[label]["mae_s"] / _MINUTE for label in labels], color=BLUE, width=0.7, label="student")
        theirs = [baseline[name][label]["mae_s"] / _MINUTE for label in labels]
        axes.plot(places, theirs, "_", color=AMBER, markersize=14, markeredgewidth=2.5, label="pair median")
        few = 8  # labels of more than these don't fit side by side
        step = 3 if len(labels) > 2 * few else 1
        axes.set_xticks(places[::step], labels[::step], rotation=20 if max(map(len, labels)) > few else 0)
        axes.set_title(name, loc="left", color=INK, fontsize=11)
        axes.set_ylabel("MAE, minutes")
        _plain(axes, "y")
    handles, names = grid.ravel()[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper right", ncols=2, frameon=False)
    return figure


def predicted_against_actual(actual_s: Floats, eta_s: Floats) -> Figure:
    """Where trips lie between estimate and truth, on logarithmic axes in minutes."""
    figure, axes = _figure(6.6, 6.0, "Estimate against actual")
    ends = (1.0, 120.0)
    cells = axes.hexbin(
        eta_s / _MINUTE,
        actual_s / _MINUTE,
        gridsize=70,
        xscale="log",
        yscale="log",
        bins="log",
        mincnt=1,
        cmap=DEPTH,
        extent=(0.0, np.log10(ends[1]), 0.0, np.log10(ends[1])),
        linewidths=0.1,
    )
    axes.plot(ends, ends, color=AMBER, linewidth=1.6, label="equal")
    ticks = [1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, map(str, ticks))
    axes.set_yticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_xlabel("estimate, minutes")
    axes.set_ylabel("actual, minutes")
    axes.legend(frameon=False, loc="upper left")
    figure.colorbar(cells, ax=axes, label="trips a cell", shrink=0.8).outline.set_visible(False)
    return figure


def importances(names: tuple[str, ...], gain: Floats, title: str) -> Figure:
    """The share of the trees' gain that each entry of the vector brings, the largest first."""
    share = 100.0 * gain / max(gain.sum(), 1e-12)
    order = np.argsort(-share)[:_TOP]
    figure, axes = _figure(8.0, 0.26 * len(order) + 1.6, title)
    axes.barh([names[i] for i in order], share[order], color=BLUE, height=0.7)
    for row, i in enumerate(order):
        axes.annotate(f"{share[i]:.1f}", (share[i], row), (5, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlabel("share of the gain, per cent")
    axes.invert_yaxis()
    return figure


def frontier(figures: Table, chosen: Mapping[int, str], *, equal: float) -> Figure:
    """What each candidate costs a trip against how it errs, at the batch of each use.

    `chosen` is who won there; errors within the share `equal` of the best count as equal, and that band is shaded.
    """
    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    figure.suptitle(
        "Cost against error of the candidates", x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK
    )
    best = min(row["holdout_mae_s"] for row in figures.values())
    grid = np.ravel(figure.subplots(1, len(chosen), sharey=True))
    for axes, (batch, winner) in zip(grid, chosen.items(), strict=True):
        axes.axhspan(0.0, 100.0 * equal, color=GRID, alpha=0.5, zorder=0)
        by_cost = sorted(figures, key=lambda name: figures[name][f"p50_us_{batch}"])
        for rank, name in enumerate(by_cost):
            row = figures[name]
            place = row[f"p50_us_{batch}"] / batch, 100.0 * (row["holdout_mae_s"] / best - 1.0)
            axes.scatter(*place, s=40 + row["bytes"] / 4000, color=BLUE if name == winner else MUTED, zorder=3)
            words = f"{name}, {row['bytes'] / 1024:,.0f} KB"
            axes.annotate(
                words, place, (-4, 12 + 16 * (rank % 3)), textcoords="offset points", fontsize=8
            )  # no overlap
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.margins(0.3, 0.45)
        axes.set_title(f"{batch} at a time: {winner}", loc="left", color=INK, fontsize=11)
        axes.set_xlabel("µs a trip, median")
        _plain(axes, "both")
    grid[0].set_ylabel("% of MAE above the best, on rows held out")
    return figure


def _figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    _plain(axes, "x")
    return figure, axes


def _plain(axes: Axes, grid: Any) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
