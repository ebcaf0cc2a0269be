"""Trips as Feast's entity rows, and its answers as the vector's columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from trips import ENTITY_OF_ROLE, Trips

from contracts.features import LOOKUPS, VIEWS
from contracts.schema import Floats

FEATURES = [f"{view.name}:{name}" for view in VIEWS for name in view.features]
ROLES: dict[str, list[str]] = {}
for _role, _entity in ENTITY_OF_ROLE.items():
    ROLES.setdefault(_entity, []).append(_role)
# Feast reads each distinct entity once, so a trip is as many rows as its most frequent entity has roles.
SLOTS = max(len(roles) for roles in ROLES.values())
_OF_VIEW = {view.name: view.features for view in VIEWS}


def entities(trips: Trips) -> dict[str, list[str]]:
    """Join keys [n * SLOTS] by entity; an entity with fewer roles repeats its last."""
    keys = {
        entity: [trips.keys[roles[min(k, len(roles) - 1)]] for k in range(SLOTS)] for entity, roles in ROLES.items()
    }
    return {entity: [of[i] for i in range(trips.rows) for of in slots] for entity, slots in keys.items()}


def columns(values: Mapping[str, list[Any]]) -> dict[str, Floats]:
    """Columns ``role.feature`` [n] from Feast's ``view__feature`` [n * SLOTS]; None is absent."""
    found = {}
    for lookup in LOOKUPS:
        slot = ROLES[ENTITY_OF_ROLE[lookup.role]].index(lookup.role)
        for name in _OF_VIEW[lookup.view]:
            found[f"{lookup.role}.{name}"] = np.array(values[f"{lookup.view}__{name}"][slot::SLOTS], dtype=np.float64)
    return found
