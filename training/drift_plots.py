"""A picture of what moved: how far each column went, and the columns that went farthest, before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from contracts.schema import Floats
from training.drift import Column, Labels, Shift
from training.plots import BLUE, GRID, INK, MUTED, PALE

_BARS: Final = 16
_SHOWN: Final = 6
_CELLS: Final = 40
_NAMES: Final = 8  # labels that fit side by side
_SIDES: Final = ((MUTED, 0.45), (BLUE, 0.55))
_FLOOR: Final = 1e-3  # of PSI; the axis is logarithmic


def draw_drift(
    shifts: Sequence[Shift],
    reference: Mapping[str, Column],
    current: Mapping[str, Column],
    names: tuple[str, str],
) -> Figure:
    """PSI of the columns that went farthest against what chance does, and the distributions of the first of them."""
    figure = Figure(figsize=(13.0, 6.8), layout="constrained")
    moved = [one for one in shifts if one.moved]
    words = f"{len(moved)} of {len(shifts)} columns moved from {names[0]} to {names[1]}"
    figure.suptitle(words, x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK)
    halves: Any = figure.subfigures(1, 2, width_ratios=(1.0, 1.6))
    left, right = halves
    _distances(left.subplots(), [*moved, *(one for one in shifts if not one.moved)][:_BARS])
    grid = np.ravel(right.subplots(3, 2))
    shown = (moved or list(shifts))[:_SHOWN]
    for axes, one in zip(grid, shown, strict=False):
        _distributions(axes, one, reference[one.name], current[one.name])
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    handles = [Patch(color=colour, alpha=alpha) for colour, alpha in _SIDES]
    right.legend(handles, names, loc="outside upper right", ncols=2, frameon=False)
    return figure


def _distances(axes: Axes, shifts: Sequence[Shift]) -> None:
    places = np.arange(len(shifts))
    lengths = [max(one.psi, _FLOOR) for one in shifts]
    axes.barh(places, lengths, color=[BLUE if one.moved else PALE for one in shifts], height=0.62)
    for place, one in zip(places, shifts, strict=True):
        if one.chance is not None:
            axes.plot([max(one.chance, _FLOOR)] * 2, [place - 0.38, place + 0.38], color=INK, linewidth=1.6)
    axes.set_yticks(places, [one.name if one.chance is not None else f"{one.name} (unjudged)" for one in shifts])
    axes.set_xscale("log")
    axes.set_xlim(left=_FLOOR)
    axes.invert_yaxis()
    axes.set_title("PSI; a dark line is what chance reaches", loc="left", color=INK, fontsize=11)
    _plain(axes, "x")


def _distributions(axes: Axes, one: Shift, reference: Column, current: Column) -> None:
    sides = reference.values, current.values
    if reference.values.dtype == object:
        _label_shares(axes, *sides)
    else:
        present = [side.astype(np.float64)[~np.isnan(side.astype(np.float64))] for side in sides]
        everything = np.concatenate(present)
        low, high = np.quantile(everything, (0.005, 0.995)) if len(everything) else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1.0, _CELLS + 1)
        for values, (colour, alpha) in zip(present, _SIDES, strict=True):
            shares = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
            axes.stairs(shares, edges, fill=True, color=colour, alpha=alpha)
    axes.set_title(f"{one.name}: {one.what} {one.before:.3g} → {one.after:.3g}", loc="left", color=INK, fontsize=10)
    axes.set_yticks([])
    _plain(axes, "x")


def _label_shares(axes: Axes, before: Floats | Labels, after: Floats | Labels) -> None:
    counts = [Counter(map(str, side.tolist())) for side in (before, after)]
    names = [name for name, _ in (counts[0] + counts[1]).most_common(_NAMES)]
    for offset, (colour, alpha), count in zip((-0.2, 0.2), _SIDES, counts, strict=True):
        shares = [count[name] / max(count.total(), 1) for name in names]
        axes.bar(np.arange(len(names)) + offset, shares, width=0.38, color=colour, alpha=alpha)
    axes.set_xticks(np.arange(len(names)), names, rotation=20)


def _plain(axes: Axes, grid: str) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=INK, labelsize=9)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
