"""UTM to WGS 84: the inverse transverse Mercator projection on the GRS 80 figure of WGS 84."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SEMI_MAJOR_M: Final = 6_378_137.0
_FLATTENING: Final = 1 / 298.257223563
_SCALE: Final = 0.9996
_FALSE_EASTING_M: Final = 500_000.0
_DEGREES_PER_ZONE: Final = 6

# Krueger's series in the third flattening n, to n^3: below a millimetre inside a UTM zone.
_N: Final = _FLATTENING / (2 - _FLATTENING)
_RECTIFYING_RADIUS_M: Final = _SEMI_MAJOR_M / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64)
_BETA: Final = (
    _N / 2 - 2 * _N**2 / 3 + 37 * _N**3 / 96,
    _N**2 / 48 + _N**3 / 15,
    17 * _N**3 / 480,
)
_DELTA: Final = (
    2 * _N - 2 * _N**2 / 3 - 2 * _N**3,
    7 * _N**2 / 3 - 8 * _N**3 / 5,
    56 * _N**3 / 15,
)


def utm_to_wgs84(
    easting_m: NDArray[np.float64], northing_m: NDArray[np.float64], *, zone: int = 18
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of northern UTM points.

    Args:
        easting_m: metres, any shape; the false easting of 500 km is part of it.
        northing_m: metres from the equator, the same shape.
        zone: the UTM zone, 1 to 60; 18 holds New York.

    Returns:
        Latitude and longitude in degrees, each in the shape of the input.

    """
    xi = np.asarray(northing_m, dtype=np.float64) / (_SCALE * _RECTIFYING_RADIUS_M)
    eta = (np.asarray(easting_m, dtype=np.float64) - _FALSE_EASTING_M) / (_SCALE * _RECTIFYING_RADIUS_M)
    xi_sphere, eta_sphere = xi, eta
    for order, beta in enumerate(_BETA, start=1):
        xi_sphere = xi_sphere - beta * np.sin(2 * order * xi) * np.cosh(2 * order * eta)
        eta_sphere = eta_sphere - beta * np.cos(2 * order * xi) * np.sinh(2 * order * eta)
    conformal = np.arcsin(np.sin(xi_sphere) / np.cosh(eta_sphere))
    latitude = conformal
    for order, delta in enumerate(_DELTA, start=1):
        latitude = latitude + delta * np.sin(2 * order * conformal)
    central_meridian = _DEGREES_PER_ZONE * zone - 183
    longitude = central_meridian + np.degrees(np.arctan2(np.sinh(eta_sphere), np.cos(xi_sphere)))
    return np.degrees(latitude), longitude
