"""All Feast objects, made from the contract's views; `feast apply` finds them as this module's names."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, String

from contracts.features import VIEWS
from contracts.schema import ViewSpec
from feature_repo.history_files import history_of

PROJECT: Final = "tandem"
EVENT_TIME: Final = "event_timestamp"


def _entity(name: str, description: str) -> Any:
    return Entity(name=name, join_keys=[name], value_type=ValueType.STRING, description=description)


city = _entity("city", "the served city as a whole")
zone = _entity("zone", "a TLC LocationID")
pair = _entity("pair", "from one zone to another, such as 74>138; * stands for any zone")
zone_hour = _entity("zone_hour", "a zone in a local hour of the week, such as 74|035; * stands for any zone")

ENTITIES: Final = (city, zone, pair, zone_hour)


def feature_views(features: Path) -> list[Any]:
    """Every view, its history in a folder's ``<view>.parquet`` and, of a live view, the hours beside it.

    The path is made absolute: Feast's DuckDB reader takes a relative one from the working directory, not from the
    repository.
    """
    entities = {entity.name: entity for entity in ENTITIES}
    return [_view(spec, entities[spec.entity], features.resolve()) for spec in VIEWS]


def _view(spec: ViewSpec, entity: Any, features: Path) -> Any:
    source = FileSource(
        name=f"{spec.name}_history", path=str(history_of(features, spec.name)), timestamp_field=EVENT_TIME
    )
    return FeatureView(
        name=spec.name,
        entities=[entity],
        ttl=timedelta(seconds=spec.ttl_s),
        schema=[Field(name=spec.entity, dtype=String), *(Field(name=name, dtype=Float64) for name in spec.features)],
        source=source,
    )


# For `feast apply`; the code registers the views of its own home (store.py).
city_live, city_long, zone_live, zone_long, pair_stats, zone_hour_stats = feature_views(
    Path(os.environ.get("TANDEM_HOME", ".tandem")) / "features"
)
