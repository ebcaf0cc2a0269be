"""What a teacher may know besides the vector: other trips around the start of this one, before and after it.

A trip counts as near by its *start*, and nearness is measured from this one's start, too: a window that begins where a
trip ends tells how long it took.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from contracts.features import FEATURES, HOUR_S
from contracts.local_time import Ints
from contracts.schema import AFTER, Feature, FeatureSchema, Floats
from contracts.zones import Positions

# Other trips that began at most so many seconds before or after.
AROUND_S: Final = {"15m": 900, "60m": 3600, "12h": 43_200, "7d": 604_800}
WINDOWS: Final = {"city": ("15m", "60m"), "pickup": ("60m", "12h"), "dropoff": ("60m", "12h"), "pair": ("12h", "7d")}
"""By role. The city's and the zones' windows leave the pair's own trips out: those are the pair's windows."""

COMPLETE_S: Final = AROUND_S["7d"] + 2 * HOUR_S
"""So many seconds after its start all trips of a trip's windows have ended."""


def _entries() -> tuple[Feature, ...]:
    found: list[Feature] = []
    for role, windows in WINDOWS.items():
        for window in windows:
            found.append(Feature(f"{AFTER}{role}_log_excess_{window}", -3.0, 3.0, nullable=True))
            found.append(Feature(f"{AFTER}{role}_count_{window}", 0.0, 1e6))
    return tuple(found)


AFTERWARDS: Final[tuple[Feature, ...]] = _entries()
TEACHER_SCHEMA: Final = FeatureSchema(name="eta_hindsight", features=(*FEATURES, *AFTERWARDS))


class Own(NamedTuple):
    """What the trips that are asked about added themselves: log excess and fold [n]."""

    log_excess: Floats
    fold: Ints


class TripsAround(Protocol):
    """Answers what other trips did around a moment, without those of a fold."""

    def around(self, pickup: Positions, dropoff: Positions, at_s: Ints, *, hidden: Ints, own: Own | None) -> Floats:
        """Rows of `AFTERWARDS` [entries, n], for zones by position and starts in whole epoch seconds."""
        ...
