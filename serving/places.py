"""Which zone a point lies in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import shapely

from contracts.schema import Floats
from contracts.zones import Positions, Zones

METRES_PER_DEGREE: Final = 111_320.0
# A pier, or a street whose edge the polygons cut off, still belongs to its zone.
SNAP_M: Final = 250.0
# Where only a zone's representative point is known, this far around it counts as the zone.
POINT_REACH_M: Final = 2_500.0


class Locator:
    """Finds zones by polygon, or by the nearest representative point for zones that have no polygon."""

    def __init__(self, zones: Zones, polygons: Sequence[str | None]) -> None:
        self._scale_x = METRES_PER_DEGREE * math.cos(math.radians(float(np.mean(zones.lat))))
        known = [i for i, wkt in enumerate(polygons) if wkt]
        bare = [i for i, wkt in enumerate(polygons) if not wkt and math.isfinite(zones.lat[i])]
        shapes = self._metres(shapely.from_wkt([polygons[i] for i in known]))
        points = self._metres(shapely.points(zones.lon[bare], zones.lat[bare]))
        shapely.prepare(shapes)
        self._shapes, self._known = shapes, np.array(known, dtype=np.intp)
        self._layers = [
            (shapely.STRtree(shapes), known, SNAP_M),
            (shapely.STRtree(points), bare, POINT_REACH_M),
        ]

    def locate(self, lat: float, lon: float) -> int | None:
        """Position of the zone that holds a WGS 84 point, the nearest where two do; None outside the city."""
        point = shapely.Point(lon * self._scale_x, lat * METRES_PER_DEGREE)
        for tree, positions, reach_m in self._layers:
            found = tree.query_nearest(point, max_distance=reach_m, all_matches=False)
            if found.size:
                return positions[int(found[0])]
        return None

    def locate_many(self, lat: Floats, lon: Floats) -> Positions:
        """Positions [n] of the zones that hold points [n], -1 outside the city; thousands cost what dozens would."""
        points: Any = shapely.points(lon * self._scale_x, lat * METRES_PER_DEGREE)
        found = np.full(len(points), -1, dtype=np.intp)
        shape, point = shapely.STRtree(points).query(self._shapes, predicate="contains")
        found[point] = self._known[shape]
        for tree, positions, reach_m in self._layers:  # on an edge, or near a zone
            rest = np.flatnonzero(found < 0)
            if rest.size and positions:
                near, at = tree.query_nearest(points[rest], max_distance=reach_m, all_matches=False)
                found[rest[near]] = np.array(positions, dtype=np.intp)[at]
        return found

    def _metres(self, shapes: Any) -> Any:
        """Scale degrees to metres; within a city the plane is flat enough to say which zone is nearest."""

        def scaled(degrees: Floats) -> Floats:
            metres: Floats = degrees * np.array([self._scale_x, METRES_PER_DEGREE])
            return metres

        return shapely.transform(shapes, scaled)
