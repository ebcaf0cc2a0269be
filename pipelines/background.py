"""What fold teachers need beside the vectors: folds, the trips around each trip, and queries that nobody made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from adapters.requests_file import RequestsFile
from contracts.distance import haversine_m
from contracts.features import ETA_SCHEMA
from contracts.schema import Matrix
from contracts.zones import Zones
from feature_repo.hindsight import Known, Neighbours
from training.dataset import epoch_s
from training.distill import Background
from training.labels import Flags, Queries, draw_queries, fold_of, is_mature, merged
from training.settings import DistillSettings

_MICRO = 1_000_000


def make_background(
    trips: pd.DataFrame,
    zones: Zones,
    settings: DistillSettings,
    *,
    seed: int,
    vectors_of: Callable[[pd.DataFrame], Matrix],
    never_trips: Queries | None = None,
) -> Background:
    """Build it for the trips learned from; `vectors_of` makes vectors of a frame of queries, as known at their time.

    `never_trips` are requests to be learned from beside the queries that are drawn.
    """
    known = known_trips(trips, zones, settings.folds)
    rows = round(settings.expand * len(trips))
    queries = draw_queries(
        known.pickup, known.dropoff, known.started_s, rows=rows, rare_share=settings.rare_share, seed=seed
    )
    if never_trips is not None:
        queries = merged(queries, never_trips)

    def neighbours(which: Flags) -> Neighbours:
        return Neighbours(known.rows(which), folds=settings.folds, zones=len(zones.ids))

    nothing = np.empty((0, len(ETA_SCHEMA.names)), dtype=np.float32)
    return Background(
        started_s=known.started_s,
        fold=known.fold,
        log_excess=known.log_excess,
        neighbours=neighbours,
        queries=queries,
        query_matrix=vectors_of(query_frame(queries, zones)) if len(queries.at_s) else nothing,
    )


def never_became_trips(requests: RequestsFile, trips: pd.DataFrame, zones: Zones, until_s: float) -> Queries:
    """Requests without a record, in the file or among the trips, that began with them and were mature at a moment.

    Raises NotFound for a zone that the city does not have.
    """
    asked = requests.read(0, requests.rows)
    at_s = np.floor_divide(asked.at_us, _MICRO)
    made = pd.Series(asked.ids).isin(trips["trip_id"]).to_numpy()
    within = at_s >= np.floor(epoch_s(trips["pickup_at"]).min())
    wanted = np.flatnonzero(np.isnan(asked.recorded_s) & ~made & within & is_mature(at_s.astype(np.float64), until_s))
    wanted = wanted[np.argsort(at_s[wanted], kind="stable")]
    pickup, dropoff = ([zone[i] for i in wanted] for zone in (asked.pickup_zone, asked.dropoff_zone))
    return Queries(zones.positions(pickup), zones.positions(dropoff), at_s[wanted])


def known_trips(trips: pd.DataFrame, zones: Zones, folds: int) -> Known:
    """A canonical trip frame as the trips that teachers may look at."""
    pickup, dropoff = zones.positions(trips["pickup_zone"]), zones.positions(trips["dropoff_zone"])
    return Known(
        pickup=pickup,
        dropoff=dropoff,
        started_s=np.floor(epoch_s(trips["pickup_at"])).astype(np.int64),
        distance_m=haversine_m(zones.lat[pickup], zones.lon[pickup], zones.lat[dropoff], zones.lon[dropoff]),
        duration_s=trips["duration_s"].to_numpy(dtype=np.float64),
        fold=fold_of(trips["trip_id"], folds),
    )


def query_frame(queries: Queries, zones: Zones) -> pd.DataFrame:
    """Queries in the columns of a canonical trip frame that a request has."""
    ids = np.array(zones.ids, dtype=object)
    at = pd.Series(pd.to_datetime(queries.at_s, unit="s", utc=True)).dt.as_unit("us")
    return pd.DataFrame(
        {"pickup_at": at, "pickup_zone": ids[queries.pickup], "dropoff_zone": ids[queries.dropoff]}, copy=False
    )
