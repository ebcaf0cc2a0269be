"""The ETA model's features: the store's views, what is looked up for a trip, and the ordered vector."""

from __future__ import annotations

from typing import Final

from contracts.schema import Feature, FeatureSchema, Lookup, ViewSpec

VIEWS: Final[tuple[ViewSpec, ...]] = ()

LOOKUPS: Final[tuple[Lookup, ...]] = ()

FEATURES: Final[tuple[Feature, ...]] = ()

ETA_SCHEMA: Final = FeatureSchema(name="eta", features=FEATURES)
