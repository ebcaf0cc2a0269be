"""The served city's zones, as arrays: positions in them stand for zones on the way to a vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from contracts.errors import NotFound
from contracts.schema import Floats

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Zones:
    """All zones in a fixed order; `lat` and `lon` are degrees (WGS 84) of a point that represents each."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    boroughs: tuple[str, ...]
    lat: Floats
    lon: Floats
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the ids."""
        object.__setattr__(self, "index", {zone: i for i, zone in enumerate(self.ids)})

    def positions(self, zones: Iterable[str]) -> Positions:
        """Positions of zone ids; raises NotFound with the first unknown id."""
        try:
            return np.fromiter((self.index[zone] for zone in zones), dtype=np.intp)
        except KeyError as error:
            raise NotFound("zone", str(error.args[0]), f"the city has {len(self.ids)} zones") from None


def pair_key(pickup: str, dropoff: str) -> str:
    """The store's key of a zone pair, such as ``74>138``."""
    return f"{pickup}>{dropoff}"


def pair_keys(pickup: Sequence[str], dropoff: Sequence[str]) -> list[str]:
    """The keys of many pairs."""
    return [f"{a}>{b}" for a, b in zip(pickup, dropoff, strict=True)]
