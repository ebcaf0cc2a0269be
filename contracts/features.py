"""The ETA model's features: the store's views, what is looked up for a trip, and the ordered vector."""

from __future__ import annotations

from typing import Final

from contracts.schema import Feature, FeatureSchema, Lookup, ViewSpec

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0

# Windows over the trips that ended in the last so many seconds. A short one moves on a fine grid, a long one hourly.
SHORT_WINDOWS_S: Final = {"15m": 900, "30m": 1800, "60m": 3600}
LONG_WINDOWS_S: Final = {"1d": 86_400, "7d": 604_800, "28d": 2_419_200}
SHORT_GRID_S: Final = 10
LONG_GRID_S: Final = 3600
LONG_REPEAT_S: Final = 43_200

# Parts of the local day, by the hour at which each begins; the first goes on past midnight.
DAY_PARTS: Final = {"night": 22, "morning": 6, "midday": 10, "evening": 15, "late": 19}

ANY: Final = "*"  # in a key: over all zones


def _windows(names: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{what}_{window}" for window in names for what in ("count", "log_ratio", "speed_kmh"))


def _pair_columns() -> tuple[str, ...]:
    parts = (f"{what}_{part}" for part in DAY_PARTS for what in ("weight", "log_excess"))
    return ("weight", "log_excess", "spread", *parts)


# Live views are written whenever a value changes, long ones daily at least: what is older than these limits was not
# updated. Statistics fade by their weights, and old ones beat none: a model of last year's trips keeps its pairs.
STATISTICS_TTL_S: Final = 100 * 365 * DAY_S
VIEWS: Final[tuple[ViewSpec, ...]] = (
    ViewSpec("city_live", "city", _windows(SHORT_WINDOWS_S), 40 * 60.0),
    ViewSpec("city_long", "city", _windows(LONG_WINDOWS_S), 20 * HOUR_S),
    ViewSpec("zone_live", "zone", _windows(SHORT_WINDOWS_S), 40 * 60.0),
    ViewSpec("zone_long", "zone", _windows(LONG_WINDOWS_S), 20 * HOUR_S),
    ViewSpec("pair_stats", "pair", _pair_columns(), STATISTICS_TTL_S),
    ViewSpec("zone_hour_stats", "zone_hour", ("weight", "log_ratio"), STATISTICS_TTL_S),
)

LIVE_VIEWS: Final = ("city_live", "zone_live")
LONG_VIEWS: Final = ("city_long", "zone_long")

LOOKUPS: Final[tuple[Lookup, ...]] = (
    Lookup("city", "city_live"),
    Lookup("city", "city_long"),
    Lookup("pickup", "zone_live"),
    Lookup("pickup", "zone_long"),
    Lookup("dropoff", "zone_live"),
    Lookup("dropoff", "zone_long"),
    Lookup("pair", "pair_stats"),
    Lookup("reverse", "pair_stats"),  # the way back
    Lookup("outbound", "pair_stats"),  # from the pickup zone to anywhere
    Lookup("inbound", "pair_stats"),  # from anywhere to the dropoff zone
    Lookup("city_hour", "zone_hour_stats"),
    Lookup("pickup_hour", "zone_hour_stats"),
    Lookup("dropoff_hour", "zone_hour_stats"),
)

LOOKED_UP: Final[tuple[str, ...]] = tuple(
    f"{lookup.role}.{feature}"
    for lookup in LOOKUPS
    for view in VIEWS
    if view.name == lookup.view
    for feature in view.features
)
"""All looked-up columns of a trip, ``role.feature``, in their order."""

OFFSET: Final = "expected_log_s"
"""The entry, in ln seconds, that a model's output is added to: duration = exp(output + vector[OFFSET])."""


def _ratio(name: str, *, nullable: bool = True) -> Feature:
    return Feature(name, -3.0, 3.0, nullable=nullable)


FEATURES: Final[tuple[Feature, ...]] = (
    Feature("distance_km", 0.0, 500.0),  # straight line between the zones' points
    Feature("pickup_lat", -90.0, 90.0),
    Feature("pickup_lon", -180.0, 180.0),
    Feature("dropoff_lat", -90.0, 90.0),
    Feature("dropoff_lon", -180.0, 180.0),
    Feature("bearing_sin", -1.0, 1.0),
    Feature("bearing_cos", -1.0, 1.0),
    Feature("hour", 0.0, 24.0),
    Feature("weekday", 0.0, 6.0),
    Feature("day_sin", -1.0, 1.0),
    Feature("day_cos", -1.0, 1.0),
    Feature("week_sin", -1.0, 1.0),
    Feature("week_cos", -1.0, 1.0),
    Feature("reference_log_s", 3.0, 10.0),
    _ratio("pair_log_excess"),
    Feature("pair_weight", 0.0, 1e6),
    Feature("pair_spread", 0.0, 5.0, nullable=True),
    _ratio("reverse_log_excess"),
    Feature("reverse_weight", 0.0, 1e6),
    _ratio("part_log_ratio", nullable=False),
    Feature("part_weight", 0.0, 1e6),
    _ratio("city_hour_log_ratio"),
    _ratio("pickup_hour_log_ratio"),
    _ratio("dropoff_hour_log_ratio"),
    _ratio("city_log_ratio_15m"),
    _ratio("city_log_ratio_30m"),
    _ratio("city_log_ratio_60m"),
    _ratio("city_log_ratio_1d"),
    _ratio("city_log_ratio_7d"),
    _ratio("city_log_ratio_28d"),
    Feature("city_count_60m", 0.0, 1e6, nullable=True),
    _ratio("pickup_log_ratio_30m"),
    _ratio("pickup_log_ratio_60m"),
    _ratio("pickup_log_ratio_1d"),
    _ratio("pickup_log_ratio_7d"),
    _ratio("dropoff_log_ratio_30m"),
    _ratio("dropoff_log_ratio_60m"),
    _ratio("dropoff_log_ratio_1d"),
    _ratio("dropoff_log_ratio_7d"),
    Feature(OFFSET, 3.0, 10.0),
)

ETA_SCHEMA: Final = FeatureSchema(name="eta", features=FEATURES)
