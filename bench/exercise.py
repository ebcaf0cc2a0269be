"""What is sent to a row: the same items for all, as ready HTTP messages, with the answers that they must get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.http1 import post as message
from bench.server import post
from bench.wire import Wire

TOLERANCE_S = 0.1
CHECKED = 128


class WrongAnswers(Exception):
    """A row's estimates are not those of the shared model; its times would mean nothing."""


@dataclass(frozen=True)
class Exercise:
    """Items (vectors or trips) and the seconds expected of them, float32 [n]."""

    items: Sequence[Any]
    expected_s: np.ndarray

    def messages(self, wire: Wire, size: int) -> list[bytes]:
        """Every item once, `size` in a request."""
        chunks = range(0, len(self.items) - size + 1, size)
        return [message("127.0.0.1", wire.path, wire.body(self.items[at : at + size])) for at in chunks]

    def check(self, wire: Wire, address: tuple[str, int], size: int, items: int = CHECKED) -> float:
        """Compare a row's answers with the expected ones; returns the largest difference, raises WrongAnswers."""
        worst = 0.0
        for at in range(0, items, size):
            status, answer = post(address, wire.path, wire.body(self.items[at : at + size]))
            if status != 200:
                raise WrongAnswers(f"status {status} for {size} items: {answer[:200]!r}")
            try:
                etas = np.array(wire.etas(answer))
            except (KeyError, ValueError) as error:  # msgspec's errors of decoding are ValueErrors
                raise WrongAnswers(f"{error!r} in {answer[:200]!r}") from error
            if etas.shape != (size,):
                raise WrongAnswers(f"{etas.size} etas for {size} items")
            worst = max(worst, float(np.abs(etas - self.expected_s[at : at + size]).max()))
        if not worst <= TOLERANCE_S:
            raise WrongAnswers(f"off by up to {worst:.3f} s, at most {TOLERANCE_S} s is allowed")
        return worst
