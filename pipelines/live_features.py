"""Trips that ended, as they come, into the live views: read, log, add to cells, write rows, tell the caches, commit.

Every effect may be repeated: cells know their trips, rows win by event time, so a consumer that is killed anywhere
loses nothing and doubles nothing. Any number may share the group.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from adapters.invalidations import publish_invalidations
from adapters.online_writer import RedisOnlineWriter, Upsert
from adapters.streams import Stream, Subscription
from adapters.trip_log import TripLog
from adapters.window_cells import RedisWindowCells
from contracts.clock import Clock
from contracts.counted_trips import CountedTrip
from contracts.distance import haversine_m
from contracts.errors import InvalidInput, Unavailable
from contracts.events import TRIPS_ENDED, TripEnded
from contracts.features import LIVE_VIEWS, VIEWS
from contracts.trips import CITY
from contracts.zones import Zones
from feature_repo.live import GRID_US, KEPT_US, LONGEST_US, additions, grid_before, live_row
from feature_repo.trip_values import log_ratios, window_values
from feature_repo.windows import MICRO
from pipelines.inbox import Inbox
from pipelines.stream_metrics import Ages
from pipelines.trip_references import References

_REWRITE: Final = 6  # ticks after which rows are written that did not change: the store may have lost them
_RESTORED_AT_ONCE: Final = 5000  # trips
_UNSEEN: Final = 100_000
_Key = tuple[str, str]


@dataclass(frozen=True)
class Outside:
    """What the stream works on."""

    trips: Subscription
    cells: RedisWindowCells
    references: References
    writer: RedisOnlineWriter
    invalidations: Stream
    log: TripLog | None = None  # what the windows counted, to fill them again from
    erased: Callable[[], None] = lambda: None  # the server lost what was in it: told once each time
    filled: Callable[[], bool] = lambda: True  # whether it has the statistics that trips are compared with


class LiveFeatures:
    """Takes trips to the live views, a step at a time. Its counts and ages are for people and metrics."""

    def __init__(self, outside: Outside, zones: Zones, clock: Clock, *, future_s: float = 60.0) -> None:
        self._outside, self._zones, self._clock = outside, zones, clock
        self._future_s = future_s
        self._views = {view.entity: view.name for view in VIEWS if view.name in LIVE_VIEWS}
        self._keys: tuple[_Key, ...] = (("city", CITY), *(("zone", zone) for zone in zones.ids))
        self._inbox = Inbox(outside.trips, TripEnded, self.check)
        self._late: set[_Key] = set()  # keys whose rows lack what came after their grid time
        self._untold: dict[_Key, None] = {}  # written, and no cache told
        self._unseen: deque[int] = deque(maxlen=_UNSEEN)  # when trips ended that the next grid time shows
        self._shown: list[int] = []  # when trips ended that this step's rows show
        self._written: dict[_Key, tuple[int, int]] = {}
        self._tick_us, self._ticks = 0, 0
        self._logged: set[str] = set()  # trips of the batch under way that are in the log
        self._marked = False  # the server is known to have had what the log holds
        self.topic = TRIPS_ENDED
        self.counts: Counter[str] = Counter()
        self.ages = Ages()  # from a trip's end to its rows

    def step(self, timeout_s: float) -> int:
        """Work on one batch, or what is due without one; returns how many messages were done.

        Raises Unavailable; the next step then goes on with the same batch.
        """
        self._inbox.poll(timeout_s)
        now_us = round(self._clock.now() * MICRO)
        self._fill_again(now_us)
        trips = self._inbox.read(now_us / MICRO)
        self.counts["dead_letters"] = self._inbox.dead_letters
        self._add(trips, now_us)
        self._refresh(now_us)
        done = self._inbox.commit()
        self._logged.clear()
        self.counts["committed"] += done
        return done

    def due_s(self) -> float:
        """Seconds until there is something to do without a message: the next grid time."""
        now_us = round(self._clock.now() * MICRO)
        return (grid_before(now_us) + GRID_US - now_us) / MICRO

    def lag(self) -> int:
        """How many messages are not committed. Raises Unavailable."""
        return self._inbox.lag()

    def report(self) -> dict[str, Any]:
        """Counts, lag, and the seconds from a trip's end to its rows. Raises Unavailable."""
        return {**self.counts, "lag": self.lag(), "visible_s": self.ages.quantiles()}

    def check(self, trip: TripEnded, now: float) -> None:
        """Raise InvalidInput for a trip that is none of this city, or that has not ended yet."""
        for field, zone in (("pickup_zone", trip.pickup_zone), ("dropoff_zone", trip.dropoff_zone)):
            if zone not in self._zones.index:
                raise InvalidInput(field, f"is {zone!r}, must be one of the city's {len(self._zones.ids)} zones")
        ahead_s = trip.dropoff_at.timestamp() - now
        if ahead_s > self._future_s:
            raise InvalidInput("dropoff_at", f"is {ahead_s:.1f} s in the future, must be at most {self._future_s:g} s")

    def _add(self, trips: Sequence[TripEnded], now_us: int) -> None:
        oldest_us = grid_before(now_us) - LONGEST_US
        timely = [trip for trip in trips if -(-_micros(trip) // GRID_US) * GRID_US > oldest_us]
        if not timely:
            self.counts["too_late"] += len(trips)
            return
        if not self._outside.filled():
            why = "the pair statistics that trips are compared with are not there yet"
            raise Unavailable("online store", "not_filled", why)
        counted = self._counted(timely)
        if self._outside.log:
            # Once a batch, however often a server that is full refuses its effects.
            self._outside.log.append([trip for trip in counted if trip.trip_id not in self._logged])
            self._logged.update(trip.trip_id for trip in counted)
            self.counts["log_missed"] = self._outside.log.missed
        events = additions(counted)
        new = self._outside.cells.add(events)
        self.counts["too_late"] += len(trips) - len(timely)
        self.counts["additions"] += new
        self.counts["repeated_additions"] += len(events) - new
        self._late |= {(event.entity, event.key) for event in events if event.cell_us <= grid_before(now_us)}
        for trip in timely:
            ended_us = _micros(trip)
            (self._shown if ended_us <= grid_before(now_us) else self._unseen).append(ended_us)

    def _counted(self, trips: Sequence[TripEnded]) -> list[CountedTrip]:
        zones = self._zones
        names = [trip.pickup_zone for trip in trips], [trip.dropoff_zone for trip in trips]
        pickup, dropoff = map(zones.positions, names)
        distance_m = haversine_m(zones.lat[pickup], zones.lon[pickup], zones.lat[dropoff], zones.lon[dropoff])
        duration_s = np.array([trip.duration_s for trip in trips])
        ratios = log_ratios(duration_s, self._outside.references.of(*names, distance_m))
        values = window_values(ratios, distance_m, duration_s).tolist()
        return [
            CountedTrip(
                trip.trip_id,
                round(trip.pickup_at.timestamp() * MICRO),
                _micros(trip),
                trip.pickup_zone,
                trip.dropoff_zone,
                log_ratio,
                speed,
            )
            for trip, (log_ratio, speed) in zip(trips, values, strict=True)
        ]

    def _refresh(self, now_us: int) -> None:
        """Write the rows that changed: all keys' at each grid time, in between those of trips that came after it."""
        grid_us = grid_before(now_us)
        tick = grid_us > self._tick_us
        if tick and (self._ticks % _REWRITE == 0 or self._rows_are_gone()):
            self._written.clear()
        keys = self._keys if tick else tuple(self._late)
        if keys:
            self._write(keys, now_us)
        self._tell()
        self._late.clear()
        if tick:
            self._tick_us, self._ticks = grid_us, self._ticks + 1
            self._shown += [ended for ended in self._unseen if ended <= grid_us]
            self._unseen = deque((ended for ended in self._unseen if ended > grid_us), maxlen=_UNSEEN)
        visible = self._clock.now()
        self.ages.add([visible - ended / MICRO for ended in self._shown])
        self._shown.clear()

    def _fill_again(self, now_us: int) -> None:
        """Bring the cells of the last hours back from the log, where the server has lost them or never had them."""
        log, cells = self._outside.log, self._outside.cells
        if log is None or not log.id:
            return
        if not cells.marked(log.id):
            lost, trips = self._marked, log.since(now_us - KEPT_US)
            while some := list(islice(trips, _RESTORED_AT_ONCE)):
                known = [trip for trip in some if {trip.pickup_zone, trip.dropoff_zone} <= self._zones.index.keys()]
                self.counts["additions_restored"] += cells.add(additions(known))
            cells.mark(log.id)
            self._written.clear()
            self._tick_us = 0  # all rows are due
            if lost:
                self.counts["erasures"] += 1
                self._outside.erased()
        self._marked = True

    def _rows_are_gone(self) -> bool:
        """Whether the store has less than what was written: whoever filled it anew emptied it first."""
        event_us, _ = self._written.get(self._keys[0], (0, 0))
        return event_us > self._outside.writer.stored_us(self._views["city"], CITY)

    def _write(self, keys: Sequence[_Key], now_us: int) -> None:
        rows: list[tuple[_Key, Upsert]] = []
        gone: list[tuple[str, str, int]] = []
        for key, cells in zip(keys, self._outside.cells.read(keys), strict=True):
            row = live_row(cells, now_us)
            if row is not None and self._written.get(key) != (row.event_us, row.trips):
                rows.append((key, Upsert(self._views[key[0]], key[1], row.event_us, row.values, row.trips)))
            gone += [(*key, cell) for cell in cells if cell <= now_us - KEPT_US]
        outcomes = self._outside.writer.upsert([row for _, row in rows], now_us / MICRO)
        for (key, sent), outcome in zip(rows, outcomes, strict=True):
            self.counts[f"rows_{outcome}"] += 1
            self._written[key] = (sent.event_us, sent.rank)
            if outcome == "written":
                self._untold[key] = None
        if gone:
            self._outside.cells.drop(gone)

    def _tell(self) -> None:
        self.counts["invalidated"] += publish_invalidations(self._outside.invalidations, self._untold)
        self._untold.clear()


def _micros(trip: TripEnded) -> int:
    return round(trip.dropoff_at.timestamp() * MICRO)
