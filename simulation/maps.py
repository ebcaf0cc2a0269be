"""Maps of a simulated day."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from contracts.schema import Floats
from simulation.zones import ZoneMap

_COLOURS: Final = "YlOrRd"


def draw_waits(file: Path, zones: ZoneMap, waits: Mapping[str, Floats], title: str) -> None:
    """Write a PNG with one map a policy: the zones coloured by mean wait, seconds [zones], on one scale."""
    figure = Figure(figsize=(2.2 * len(waits) + 1.0, 4.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    minutes = {name: seconds / 60 for name, seconds in waits.items()}
    top = float(np.nanquantile(np.concatenate(list(minutes.values())), 0.98))
    panels = figure.subplots(1, len(waits), squeeze=False)[0]
    shade: Any = None
    for panel, (name, values) in zip(panels, minutes.items(), strict=True):
        shade = _paint(panel, zones, values, top)
        panel.set_title(f"{name.replace('_', ' ')}\nmean {np.nanmean(values):.1f} min", fontsize=9)
    figure.colorbar(shade, ax=list(panels), shrink=0.7, label="minutes to the pickup, or to giving up")
    figure.suptitle(f"Who waits where: {title}, simulated", fontsize=11)
    figure.savefig(file, dpi=130)


def _paint(panel: Any, zones: ZoneMap, values: Floats, top: float) -> Any:
    parts = [(part, i) for i, zone in enumerate(zones.polygons) for part in shapely.get_parts(zone)]
    outlines = [shapely.get_coordinates(part.exterior) for part, _ in parts]
    colours = np.ma.masked_invalid(values[[i for _, i in parts]])
    patches = PolyCollection(outlines, array=colours, cmap=_COLOURS, edgecolor="white", linewidth=0.4)
    patches.set_clim(0.0, top)
    panel.add_collection(patches)
    panel.autoscale_view()
    panel.set_aspect("equal")
    panel.set_axis_off()
    return patches
