"""Which answers of a model may be given."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

# Longer than any trip that training has seen; a model that says so is out of its mind.
MAX_ETA_S: Final = 4 * 3600.0


def sane(answers: npt.NDArray[np.floating]) -> list[bool]:
    """Which of the answers [3, n] may be given; comparisons with NaN are false, so that NaN never may."""
    of_trips = zip(*answers.tolist(), strict=True)
    return [0.0 < low <= eta <= high < math.inf and eta <= MAX_ETA_S for eta, low, high in of_trips]
