"""A wheel of the shape of pyhailing's with a city of three zones, whose demand and speeds are known by formula."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ZONE_IDS = (4, 12, 230)
# An L, a square and a square with a hole, about 2 km wide, UTM 18N kilometres.
_OUTLINES = {
    4: [[[585, 4510], [587, 4510], [587, 4510.5], [585.5, 4510.5], [585.5, 4512], [585, 4512], [585, 4510]]],
    12: [[[587, 4511], [589, 4511], [589, 4513], [587, 4513], [587, 4511]]],
    230: [
        [[589, 4513], [591, 4513], [591, 4515], [589, 4515], [589, 4513]],
        [[589.5, 4513.5], [589.5, 4514.5], [590.5, 4514.5], [590.5, 4513.5], [589.5, 4513.5]],
    ],
}


def speed_km_s(slot: int, pickup: int, dropoff: int) -> float:
    """Mean speed of a pair, by the zones' indices; the standard deviation is a quarter of it."""
    return 0.004 + 0.0005 * pickup + 0.0002 * dropoff + 0.00001 * slot


def trips_a_year(weekday: int, slot: int, pickup: int, dropoff: int) -> int:
    """Count the trips of a cell of trips.csv."""
    return 50 + 10 * weekday + slot + 5 * pickup + dropoff


def small_wheel(path: Path) -> Path:
    """Write the wheel; its speeds lie as pyhailing's do: right in the order of rows, wrong by their labels."""
    pairs = [(pickup, dropoff) for pickup in range(3) for dropoff in range(3)]
    trips = ["dow,t_15min,puzone,dozone,n_trips"] + [
        f"{day},{slot},{ZONE_IDS[p]},{ZONE_IDS[d]},{trips_a_year(day, slot, p, d)}"
        for day in range(5)
        for slot in range(96)
        for p, d in pairs
    ]
    speeds = ["puzone,dozone,min,speed_mean,speed_stddev"]
    for row in range(96 * len(pairs)):
        pair, label = row // 96, pairs[row // 24 % len(pairs)]
        speed = speed_km_s((row % 96 + 24 * (pair % 4)) % 96, *pairs[pair])
        minute = row % 96 * 15
        speeds.append(f"{ZONE_IDS[label[0]]},{ZONE_IDS[label[1]]},{minute},{speed:.8f},{speed / 4:.8f}")
    features = [
        {
            "geometry": {"type": "Polygon", "coordinates": _OUTLINES[zone]},
            "properties": {"zone_id": str(zone), "zone_name": f"Quarter {zone}"},
        }
        for zone in reversed(ZONE_IDS)
    ]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("pyhailing/data/trips.csv", "\n".join(trips))
        wheel.writestr("pyhailing/data/speeds.csv", "\n".join(speeds))
        wheel.writestr("pyhailing/data/taxizones.geojson", json.dumps({"features": features}))
    return path
