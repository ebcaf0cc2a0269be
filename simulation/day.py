"""A day of dispatch, event by event: requests come, windows close, drivers drive, riders lose patience.

Matching and windows come in from outside, so what is simulated is what serves. Several policies can share the
streets and the drivers: each rider belongs to one, as in an experiment.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from contracts.dispatch import Matcher, Places, Riders, Window
from contracts.schema import Floats
from contracts.zones import Positions
from simulation.fleet import RESTLESS_S, Crew, Fleet
from simulation.riders import Requests
from simulation.travel import MEETING_S, Travel

_READY: Final = 0
_SHIFT_ENDS: Final = 1
_RESTLESS: Final = 2
# Past the half of an aborted drive the driver is told to stand in the rider's zone.
_HALF: Final = 0.5


@dataclass(frozen=True)
class Policy:
    """A way to dispatch; every simulated day gets a window of its own, which has seen nothing yet."""

    name: str
    match: Matcher
    window: Callable[[], Window]
    horizon_s: float = 0.0  # drivers whose ride ends so soon are offered too


@dataclass
class Log:
    """What became of every request [n]; moments are seconds since midnight, NaN where it did not come to that.

    `compute_s` holds (riders assigned, matrix, solve) of each matching, in seconds of this machine: the one part
    that is not the same in every run.
    """

    assigned_s: Floats
    quoted_s: Floats  # the estimate that the pair was made with
    picked_up_s: Floats
    cancelled_s: Floats
    driver: Positions
    idle_shares: Floats = field(default_factory=lambda: np.empty(0))
    compute_s: list[tuple[int, float, float]] = field(default_factory=list)

    @classmethod
    def empty(cls, n: int) -> Log:
        """Nothing has happened to the requests [n] yet."""
        assigned_s, quoted_s, picked_up_s, cancelled_s = np.full((4, n), np.nan)
        return cls(assigned_s, quoted_s, picked_up_s, cancelled_s, driver=np.full(n, -1))


@dataclass
class _Arm:
    match: Matcher
    window: Window
    horizon_s: float
    pool: list[int] = field(default_factory=list)
    closes_s: float = math.inf


def simulate_day(
    requests: Requests,
    crew: Crew,
    travel: Travel,
    policies: Sequence[Policy],
    arm: Positions,
    *,
    midnight: float,
    tell: Callable[[int], None] = lambda _: None,
) -> Log:
    """Run until every rider is picked up or gone.

    Args:
        requests: the riders [n].
        crew: the shifts.
        travel: the streets; what drives really take.
        policies: one or more ways to dispatch.
        arm: which of them each rider [n] meets.
        midnight: Unix seconds of the day's local midnight, for estimates that depend on the date.
        tell: called with the number of requests so far, now and then.

    """
    return _Day(requests, crew, travel, policies=policies, arm=arm, midnight=midnight).run(tell)


class _Day:
    def __init__(
        self,
        requests: Requests,
        crew: Crew,
        travel: Travel,
        *,
        policies: Sequence[Policy],
        arm: Positions,
        midnight: float,
    ) -> None:
        n = len(requests)
        self.requests, self.travel, self.midnight = requests, travel, midnight
        self.fleet = Fleet(crew)
        self.arms = [_Arm(policy.match, policy.window(), policy.horizon_s) for policy in policies]
        self.arm_of = [self.arms[i] for i in arm]
        self.log = Log.empty(n)
        drivers = range(len(crew.home))
        self.wakes = [(crew.begin_s[d], _READY, d) for d in drivers] + [
            (crew.end_s[d], _SHIFT_ENDS, d) for d in drivers
        ]
        heapq.heapify(self.wakes)

    def run(self, tell: Callable[[int], None]) -> Log:
        at_s, n = self.requests.at_s.tolist(), len(self.requests)
        come = 0
        while come < n or any(arm.pool for arm in self.arms):
            asks_s = at_s[come] if come < n else math.inf
            wakes_s = self.wakes[0][0] if self.wakes else math.inf
            closing = min(self.arms, key=lambda arm: arm.closes_s)
            if closing.closes_s < min(asks_s, wakes_s):
                self._close(closing, closing.closes_s)
                continue
            if math.isinf(now_s := min(asks_s, wakes_s)):
                break  # all drivers are gone: who still waits, waits in vain
            if asks_s <= wakes_s:
                arm = self.arm_of[come]
                arm.pool.append(come)
                arm.window.arrived(now_s)
                self._open(arm, now_s, carried=False)
                come += 1
                if come == n:
                    self.log.idle_shares = self.fleet.idle_shares(now_s)
                if come % 1000 == 0 or come == n:
                    tell(come)
            else:
                self._wake(now_s)
        for arm in self.arms:
            self._give_up(arm, math.inf)
        return self.log

    def _wake(self, now_s: float) -> None:
        _, why, driver = heapq.heappop(self.wakes)
        if why == _SHIFT_ENDS:
            self.fleet.knock_off(driver, now_s)
            return
        if why == _READY:
            self.fleet.ready(driver, now_s)
        elif not self.fleet.move_on(driver, now_s - RESTLESS_S):
            return
        if self.fleet.free[driver]:
            heapq.heappush(self.wakes, (now_s + RESTLESS_S, _RESTLESS, driver))
            for arm in self.arms:
                self._open(arm, now_s, carried=False)

    def _open(self, arm: _Arm, now_s: float, *, carried: bool) -> None:
        """Somebody new waits or is free: matched together with whoever comes until the window closes."""
        if not arm.pool:
            return
        offered = len(self.fleet.offered(now_s, arm.horizon_s))
        if offered or arm.horizon_s:
            # No event tells when a ride is about to end, so with a horizon an empty offer is looked at again.
            length_s = arm.window.length_s(now_s, waiting=len(arm.pool), free=offered, carried=carried or not offered)
            arm.closes_s = min(arm.closes_s, now_s + length_s)

    def _close(self, arm: _Arm, now_s: float) -> None:
        arm.closes_s = math.inf
        self._give_up(arm, now_s)
        offered = self.fleet.offered(now_s, arm.horizon_s)
        if arm.pool and len(offered):
            rows = np.array(arm.pool)
            riders = Riders(self.requests.pickup.take(rows), now_s - self.requests.at_s[rows])
            made = arm.match(riders, self.fleet.drivers(offered, now_s), self.midnight + now_s)
            self.log.compute_s.append((len(made.rider), made.matrix_s, made.solve_s))
            self.log.quoted_s[rows[made.rider]] = made.pickup_s
            self._send(rows[made.rider], offered[made.driver], now_s)
            arm.pool = np.delete(rows, made.rider).tolist()
        self._open(arm, now_s, carried=True)

    def _give_up(self, arm: _Arm, now_s: float) -> None:
        rows = np.array(arm.pool, dtype=np.intp)
        gone = self.requests.give_up_s[rows] <= now_s
        if gone.any():
            self.log.cancelled_s[rows[gone]] = self.requests.give_up_s[rows[gone]]
            arm.pool = rows[~gone].tolist()

    def _send(self, riders: Positions, drivers: Positions, now_s: float) -> None:
        """Drivers set out; a rider may lose patience meanwhile; each is free again where that leaves them."""
        fleet, requests = self.fleet, self.requests
        origin = Places(fleet.lat[drivers], fleet.lon[drivers], fleet.zone[drivers])
        pickup, dropoff = requests.pickup.take(riders), requests.dropoff.take(riders)
        start_s = np.maximum(fleet.ready_s[drivers], now_s)
        drive_s = MEETING_S + self.travel.seconds(origin, pickup, start_s, requests.chance[riders])
        give_up_s = requests.give_up_s[riders]
        met = start_s + drive_s <= give_up_s
        part = np.clip((give_up_s - start_s) / drive_s, 0.0, 1.0)
        end = Places(
            np.where(met, dropoff.lat, origin.lat + part * (pickup.lat - origin.lat)),
            np.where(met, dropoff.lon, origin.lon + part * (pickup.lon - origin.lon)),
            np.where(met, dropoff.zone, np.where(part > _HALF, pickup.zone, origin.zone)),
        )
        picked_up_s = start_s + drive_s
        ready_s = np.where(met, picked_up_s + requests.ride_s[riders], np.maximum(give_up_s, start_s))
        fleet.send(drivers, now_s, end, ready_s, np.where(met, picked_up_s, np.inf))
        fleet.misjudged[drivers] = requests.misjudged[riders]
        self.log.assigned_s[riders] = now_s
        self.log.driver[riders] = drivers
        self.log.picked_up_s[riders] = np.where(met, picked_up_s, np.nan)
        self.log.cancelled_s[riders] = np.where(met, np.nan, give_up_s)
        for at_s, driver in zip(ready_s.tolist(), drivers.tolist(), strict=True):
            heapq.heappush(self.wakes, (at_s, _READY, driver))
