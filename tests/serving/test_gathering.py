"""When windows close, by a clock that is only a number."""

from __future__ import annotations

import math

import numpy as np

from contracts.zones import Zones
from serving.gathering import Gathering, regions_of
from serving.windows import AdaptiveWindow, FixedWindow


def names(count: int) -> list[str]:
    """Riders who wait."""
    return [f"r{i}" for i in range(count)]


def test_a_window_waits_for_somebody_and_a_driver() -> None:
    """No rider, or no driver: it does not close."""
    gathering = Gathering(FixedWindow(1.0))
    assert math.isinf(gathering.look(0.0, [], 5))
    assert math.isinf(gathering.look(0.0, names(2), 0))
    assert gathering.look(3.0, names(2), 1) == 4.0


def test_a_look_that_finds_nothing_new_changes_nothing() -> None:
    """Twenty looks a second do not put the end off."""
    gathering = Gathering(FixedWindow(1.0))
    assert gathering.look(0.0, names(1), 3) == 1.0
    assert gathering.look(0.5, names(1), 3) == 1.0
    assert gathering.look(0.9, names(3), 2) == 1.0


def test_who_is_left_waits_for_something_new_or_a_while() -> None:
    """The retry's time without news; a rider or a driver more brings it forward."""
    gathering = Gathering(FixedWindow(0.0, retry_s=2.0))
    assert gathering.look(0.0, names(1), 1) == 0.0
    gathering.closed()
    assert gathering.look(0.1, names(1), 1) == 2.1
    assert gathering.look(0.5, names(1), 2) == 0.5
    gathering.closed()
    assert gathering.look(0.6, names(2), 2) == 0.6


def test_a_lone_rider_among_many_drivers_waits_for_nothing() -> None:
    """At low load the window closes as it opens; where many come and drivers are few it lasts."""
    assert Gathering(AdaptiveWindow(2.0)).look(10.0, names(1), 8) == 10.0
    busy = Gathering(AdaptiveWindow(2.0))
    for i in range(200):
        closes_at = busy.look(i * 0.1, names(i + 1)[-20:], 20)
        if i * 0.1 >= closes_at:
            busy.closed()
    assert busy.look(20.0, [*names(220)[-20:], "new"], 20) - 20.0 <= 2.0
    assert busy.window.length_s(20.0, waiting=20, free=20, carried=False) > 1.5


def test_regions_are_bands_with_as_many_zones_each() -> None:
    """From south to north; a zone of which no point is known is in the first."""
    lat = np.array([40.9, 40.7, 40.8, np.nan, 40.6])
    zones = Zones(tuple("abcde"), tuple("abcde"), tuple("abcde"), lat, np.zeros(5))
    assert regions_of(zones, 1).tolist() == [0, 0, 0, 0, 0]
    assert regions_of(zones, 2).tolist() == [1, 0, 1, 0, 0]
