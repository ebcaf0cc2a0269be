"""The canonical trip frame: one row a completed trip, whatever its source.

Sorted by (`pickup_at`, `trip_id`). Times are UTC; a naive local time is read in `CITY_TZ` before it gets here.
"""

from __future__ import annotations

from typing import Final

CITY: Final = "nyc"
CITY_TZ: Final = "America/New_York"

TRIP_COLUMNS: Final[dict[str, str]] = {
    "trip_id": "string",  # unique over all sources
    "pickup_at": "timestamp[us, tz=UTC]",
    "dropoff_at": "timestamp[us, tz=UTC]",
    "pickup_zone": "string",  # TLC LocationID
    "dropoff_zone": "string",
    "pickup_lat": "double",  # degrees, WGS 84; NaN where the source knows zones only
    "pickup_lon": "double",
    "dropoff_lat": "double",
    "dropoff_lon": "double",
    "duration_s": "double",  # seconds, dropoff_at - pickup_at
    "distance_km": "double",  # metered afterwards: never a serving feature; NaN where not known
}

ZONE_COLUMNS: Final[dict[str, str]] = {
    "zone": "string",
    "name": "string",
    "borough": "string",
    "lat": "double",  # a point that represents the zone
    "lon": "double",
    "polygon": "string",  # WKT, WGS 84; null where only the point is known
}

# A trip outside these is an error of the record, not a trip (the TLC data's own cleaning rules).
MIN_DURATION_S: Final = 60.0
MAX_DURATION_S: Final = 7200.0

SOURCE_KEY: Final = "tandem.source"  # Parquet schema metadata: where the rows come from, in words
