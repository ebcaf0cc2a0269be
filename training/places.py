"""From a zone's point, as it stands in the vector, back to the zone: what an embedding of zones needs.

The vector holds no zone, but the float32 coordinates of its point, and these never vary. Scaled by a power of two they
are whole numbers, without rounding, and a hash without collisions turns them into a position, with a handful of cheap
operators: comparing each row with each zone costs a net more than all its layers. A point of no zone is told apart.

The hash is "hash and displace": a key's bucket says by how much its slot moves, so that there need be only a few more
slots than places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper

from contracts.errors import SchemaMismatch
from contracts.schema import Floats, Matrix

_SCALE: Final = 2.0**18  # a float32 of 32..64 degrees has 18 bits behind the point, a larger one fewer
_BUCKET: Final = 2  # places, on average
_ROOM: Final = 1.3  # slots a place
_MOST_PLACES: Final = 2000

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PlaceIndex:
    """A hash of points: key = factor * lat + lon in 2⁻¹⁸ degrees, slot = key + its bucket's move, mod slots."""

    factor: int
    moves: npt.NDArray[np.int16]  # by bucket, key mod the number of buckets
    slots: npt.NDArray[np.int16]  # position of the place that hashes there, `unknown` where none does
    keys: Ints  # of the places, and one of no place

    @property
    def unknown(self) -> int:
        """The position of any point that is no place."""
        return len(self.keys) - 1

    def positions(self, lat: Matrix, lon: Matrix) -> Ints:
        """Positions of points, as the graph finds them."""
        key = _whole(lat) * np.int64(self.factor) + _whole(lon)
        moved = key + self.moves[key % len(self.moves)]
        found = self.slots[moved % len(self.slots)].astype(np.int64)
        return np.where(self.keys[found] == key, found, self.unknown)

    def nodes(self, lat: str, lon: str, out: str) -> tuple[list[NodeProto], dict[str, Any]]:
        """Nodes that read tensors `lat` and `lon` and write positions int64 `out`, and their constants by name."""
        constants = {
            "place_scale": np.float32(_SCALE),
            "place_factor": np.int64(self.factor),
            "place_buckets": np.int64(len(self.moves)),
            "place_moves": self.moves,
            "place_slots": np.int64(len(self.slots)),
            "place_of_slot": self.slots,
            "place_keys": self.keys,
            "place_unknown": np.int64(self.unknown),
        }
        steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
            ("Mul", [lat, "place_scale"], "scaled_lat", {}),
            ("Mul", [lon, "place_scale"], "scaled_lon", {}),
            ("Cast", ["scaled_lat"], "whole_lat", {"to": TensorProto.INT64}),
            ("Cast", ["scaled_lon"], "whole_lon", {"to": TensorProto.INT64}),
            ("Mul", ["whole_lat", "place_factor"], "spread_lat", {}),
            ("Add", ["spread_lat", "whole_lon"], "place_key", {}),
            ("Mod", ["place_key", "place_buckets"], "place_bucket", {}),
            ("Gather", ["place_moves", "place_bucket"], "short_move", {}),
            ("Cast", ["short_move"], "place_move", {"to": TensorProto.INT64}),
            ("Add", ["place_key", "place_move"], "moved_key", {}),
            ("Mod", ["moved_key", "place_slots"], "place_slot", {}),
            ("Gather", ["place_of_slot", "place_slot"], "short_guess", {}),
            ("Cast", ["short_guess"], "place_guess", {"to": TensorProto.INT64}),
            ("Gather", ["place_keys", "place_guess"], "guessed_key", {}),
            ("Equal", ["guessed_key", "place_key"], "place_known", {}),
            ("Where", ["place_known", "place_guess", "place_unknown"], out, {}),
        ]
        return [helper.make_node(kind, ins, [name], **more) for kind, ins, name, more in steps], constants


def index_places(lat: Floats, lon: Floats) -> PlaceIndex:
    """Find a hash without collisions for points in degrees; places at one point, to a metre or less, share a position.

    Raises SchemaMismatch where there are too many of them.
    """
    points = np.unique(np.column_stack([_whole(lat), _whole(lon)]), axis=0)
    places = len(points)
    if places > _MOST_PLACES:
        raise SchemaMismatch("places of a net", f"{places}", f"at most {_MOST_PLACES}")
    rng, slots = np.random.default_rng(0), int(_ROOM * places) | 1
    while True:
        factor = int(rng.integers(1 << 10, 1 << 24))
        keys = points[:, 0] * factor + points[:, 1]
        found = _displace(keys, places // _BUCKET + 1, slots)
        if found is not None:
            moves, of_slot = found
            return PlaceIndex(factor, moves, of_slot, np.append(keys, np.int64(np.iinfo(np.int64).max)))
        slots += 2  # an odd number of slots has little in common with the buckets' number


def _displace(keys: Ints, buckets: int, slots: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]] | None:
    """Move the fullest buckets first, each to where all its keys find free slots; None where one finds none."""
    moves, of_slot = np.zeros(buckets, dtype=np.int16), np.full(slots, len(keys), dtype=np.int16)
    members = [np.flatnonzero(keys % buckets == bucket) for bucket in range(buckets)]
    for bucket in sorted(range(buckets), key=lambda bucket: -len(members[bucket])):
        places = members[bucket]
        tried = (keys[places] + np.arange(slots)[:, None]) % slots  # [moves, places]
        fits = (of_slot[tried] == len(keys)).all(axis=1)
        if len(np.unique(tried[0])) < len(places) or not fits.any():
            return None
        moves[bucket] = np.argmax(fits)
        of_slot[tried[moves[bucket]]] = places
    return moves, of_slot


def _whole(degrees: Floats | Matrix) -> Ints:
    with np.errstate(invalid="ignore"):  # an absent coordinate becomes some number that is no place's
        return (degrees.astype(np.float32) * np.float32(_SCALE)).astype(np.int64)
