"""One ETA request on its way to an answer."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.schema import Matrix
from serving.features import LookedUp
from serving.routing import Route
from serving.trips import Trips


@dataclass(slots=True)
class Work:
    """What is known so far; `matrix` and `looked_up` are None until the features are there."""

    route: Route
    trips: Trips
    now: float  # epoch seconds
    unit: str
    request_id: str
    matrix: Matrix | None = None
    looked_up: LookedUp | None = None
