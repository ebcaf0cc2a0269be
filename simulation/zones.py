"""The city's zones: their outlines in UTM 18N kilometres, points drawn inside them, lengths along the street grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from simulation.utm import utm_to_wgs84

# Manhattan's avenues run 29 degrees east of north.
_GRID_ANGLE_RAD: Final = np.deg2rad(29.0)
_ALONG: Final = np.array([np.sin(_GRID_ANGLE_RAD), np.cos(_GRID_ANGLE_RAD)])
_ACROSS: Final = np.array([np.cos(_GRID_ANGLE_RAD), -np.sin(_GRID_ANGLE_RAD)])
# 1e-6 degrees are about 0.1 m: finer digits would only carry rounding noise into the files.
_DEGREE_DIGITS: Final = 6


@dataclass(frozen=True)
class ZoneMap:
    """Zones in a fixed order; every method speaks of a zone by its index in that order.

    Attributes:
        ids: the TLC LocationIDs, ascending by number.
        names: the zones' names.
        polygons: outlines in UTM 18N, kilometres, one (multi)polygon a zone.

    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    polygons: tuple[shapely.Geometry, ...]

    @classmethod
    def from_geojson(cls, text: str) -> ZoneMap:
        """Read features with `zone_id` and `zone_name`, coordinates in UTM 18N kilometres."""
        features: list[dict[str, Any]] = sorted(
            json.loads(text)["features"], key=lambda feature: int(feature["properties"]["zone_id"])
        )
        return cls(
            ids=tuple(str(int(feature["properties"]["zone_id"])) for feature in features),
            names=tuple(str(feature["properties"]["zone_name"]) for feature in features),
            polygons=tuple(shapely.geometry.shape(feature["geometry"]) for feature in features),
        )

    def sample(self, zone_index: NDArray[np.integer[Any]], rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw one uniform point inside each of the zones asked for: (n,) indices to (n, 2) UTM kilometres."""
        corners, areas, first = self._triangles
        before = np.concatenate([[0.0], np.cumsum(areas)])
        low, high = before[first[zone_index]], before[first[zone_index + 1]]
        n = len(zone_index)
        triangle = np.searchsorted(before, low + rng.random(n) * (high - low), side="right") - 1
        # Rounding can carry a draw at a zone's last triangle over its edge.
        triangle = np.clip(triangle, first[zone_index], first[zone_index + 1] - 1)
        a, b, c = np.moveaxis(corners[triangle], 1, 0)
        reach = np.sqrt(rng.random(n))[:, None]
        side = rng.random(n)[:, None]
        points: NDArray[np.float64] = a * (1 - reach) + b * reach * (1 - side) + c * reach * side
        return points

    def frame(self) -> pd.DataFrame:
        """Build the rows of zones.parquet: zone, name, borough, lat, lon (degrees), polygon (WKT in WGS 84)."""
        inside = shapely.get_coordinates(shapely.point_on_surface(np.array(self.polygons, dtype=object)))
        lat, lon = to_degrees(inside)
        outlines = [shapely.transform(polygon, _lon_lat) for polygon in self.polygons]
        return pd.DataFrame(
            {
                "zone": self.ids,
                "name": self.names,
                "borough": "Manhattan",
                "lat": lat,
                "lon": lon,
                "polygon": [shapely.to_wkt(outline, rounding_precision=_DEGREE_DIGITS) for outline in outlines],
            }
        )

    @cached_property
    def _triangles(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Corners (t, 3, 2), areas (t,) of all zones' triangles and each zone's first triangle (z + 1,)."""
        per_zone = [shapely.get_parts(shapely.constrained_delaunay_triangles(polygon)) for polygon in self.polygons]
        triangles = np.concatenate(per_zone)
        corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)[:, :3]
        first = np.concatenate([[0], np.cumsum([len(parts) for parts in per_zone])])
        return corners, shapely.area(triangles), first


def grid_km(origin: NDArray[np.float64], destination: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths along Manhattan's grid, kilometres: (n, 2) points against (n, 2) points."""
    step = destination - origin
    # Sums of products, not a matrix product: BLAS may round differently from machine to machine.
    along = step[:, 0] * _ALONG[0] + step[:, 1] * _ALONG[1]
    across = step[:, 0] * _ACROSS[0] + step[:, 1] * _ACROSS[1]
    length: NDArray[np.float64] = np.abs(along) + np.abs(across)
    return length


def to_degrees(points_km: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes (degrees, WGS 84, to 1e-6) of (n, 2) UTM 18N kilometres."""
    lat, lon = utm_to_wgs84(points_km[:, 0] * 1000, points_km[:, 1] * 1000)
    return np.round(lat, _DEGREE_DIGITS), np.round(lon, _DEGREE_DIGITS)


def _lon_lat(points_km: NDArray[np.float64]) -> NDArray[np.float64]:
    lat, lon = to_degrees(points_km)
    return np.column_stack([lon, lat])
