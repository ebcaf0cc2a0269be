"""What a trip is taken to have lasted: when a record is complete, when to doubt it, and what stands in for it.

Pure: arrays [n], seconds, a given `now`. A teacher's seconds are always *out of fold*: of a model that has seen neither
the trip nor anything made of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.local_time import Ints
from contracts.schema import Floats
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S
from contracts.zones import Positions

Words = npt.NDArray[np.object_]
Flags = npt.NDArray[np.bool_]

REPORTING_S: Final = 0.0  # a trip file is whole; a stream that tells of ends late adds its own lateness
MAX_STRAIGHT_MPS: Final = 31.3  # 70 mph, the cleaning rules' limit, along a straight line

# Where a label comes from; the order is that of the parts of the rule in `settle`.
RECORD, BLEND, TEACHER, BACKFILL, WAITING = "record", "blend", "teacher", "backfill", "waiting"
SOURCES: Final = (RECORD, BLEND, TEACHER, BACKFILL, WAITING)

OUTSIDE: Final = "recorded time outside 1 to 120 min"
TOO_FAST: Final = "faster than 70 mph in a straight line"
TOO_SHORT: Final = "far shorter than its hour and place explain"
TOO_LONG: Final = "far longer than its hour and place explain"
NO_RECORD: Final = "the request never became a trip"
TOO_EARLY: Final = "longer trips of that time may still be under way"


def matures_at(started_s: Floats, *, reporting_s: float = REPORTING_S) -> Floats:
    """Epoch seconds from which no record of a trip can still be missing.

    That a trip has ended is not enough: of trips that began a minute ago only the shortest have, and to learn from
    those alone is to learn that trips are short.
    """
    at: Floats = started_s + MAX_DURATION_S + reporting_s
    return at


def is_mature(started_s: Floats, now_s: float, *, reporting_s: float = REPORTING_S) -> Flags:
    """Whether everything that will ever be known of a trip is known."""
    mature: Flags = matures_at(started_s, reporting_s=reporting_s) <= now_s
    return mature


def fold_of(ids: Iterable[str], folds: int) -> Ints:
    """Folds 0..folds-1 by a hash of the id alone, the same in every run, file and order."""
    return np.fromiter((zlib.crc32(one.encode()) % folds for one in ids), dtype=np.int64)


@dataclass(frozen=True)
class Repair:
    """How much of a doubtful record is kept.

    A residual is ln(record / teacher) less its usual value, in half-spreads (the distance that holds 34 % of the
    residuals on that side) of trips that the teacher thinks equally long. The teacher's share in the log of the label
    is 1 / (1 + exp((beyond - |residual|) / over)), and none where that is below a hundredth: half at `beyond`, nearly
    all further out.
    """

    beyond: float = 1.85
    over: float = 0.2
    bands: int = 12
    min_band_rows: int = 200


@dataclass(frozen=True)
class Spread:
    """Usual residuals by band of the teacher's seconds, parted at `edges`: middle, half-spreads to both sides."""

    edges: Floats
    middle: Floats
    below: Floats
    above: Floats

    def residual(self, recorded_s: Floats, teacher_s: Floats) -> Floats:
        """In half-spreads; NaN where there is no record."""
        band = np.searchsorted(self.edges, teacher_s, side="right")
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.log(recorded_s / teacher_s) - self.middle[band]
        residual: Floats = off / np.where(off < 0, self.below[band], self.above[band])
        return residual


_NARROWEST: Final = 0.02  # no band of trips is usual to within two per cent


def fit_spread(recorded_s: Floats, teacher_s: Floats, rule: Repair) -> Spread:
    """Measure the usual residuals of plausible records; quantiles, so that a tenth of wrong ones moves them little."""
    bands = max(min(rule.bands, len(teacher_s) // rule.min_band_rows), 1)
    edges = np.unique(np.quantile(teacher_s, np.arange(1, bands) / bands)) if bands > 1 else np.empty(0)
    band = np.searchsorted(edges, teacher_s, side="right")
    off = np.log(recorded_s / teacher_s)
    rows = []
    for number in range(len(edges) + 1):
        here = off[band == number] if (band == number).any() else off
        low, middle, high = np.quantile(here, (0.1587, 0.5, 0.8413))
        rows.append((middle, max(middle - low, _NARROWEST), max(high - middle, _NARROWEST)))
    middle, below, above = np.array(rows).T
    return Spread(edges, middle, below, above)


@dataclass(frozen=True)
class Labels:
    """Seconds [n] to learn from, NaN where there are none yet; where each comes from, and why not as recorded.

    `doubt` is the teacher's share, 0 to 1; what is `quarantined` is not to be learned from as it was recorded.
    """

    seconds: Floats
    source: Words
    doubt: Floats
    reason: Words

    @property
    def quarantined(self) -> Flags:
        """Records that were there and are mostly or wholly set aside."""
        aside: Flags = (self.doubt > 0.5) & np.isin(self.source, (BLEND, TEACHER))  # noqa: PLR2004 - mostly
        return aside


def plausible(recorded_s: Floats, distance_m: Floats) -> Flags:
    """Whether a record is one of a trip at all: 1 to 120 minutes, at no more than 70 mph along a straight line."""
    with np.errstate(invalid="ignore"):
        inside = (recorded_s >= MIN_DURATION_S) & (recorded_s <= MAX_DURATION_S)
        slow_enough: Flags = distance_m <= MAX_STRAIGHT_MPS * recorded_s
    both: Flags = inside & slow_enough
    return both


def settle(
    recorded_s: Floats, teacher_s: Floats, *, distance_m: Floats, mature: Flags, spread: Spread, rule: Repair
) -> Labels:
    """Decide every label.

    Not mature: none yet. Mature without a record: the teacher's, as a backfill. An implausible record: the teacher's.
    Any other: the record and the teacher blended by `Repair`, which for what is usual is the record itself.
    """
    absent = np.isnan(recorded_s)
    sound = plausible(recorded_s, distance_m)
    residual = spread.residual(np.where(sound, recorded_s, teacher_s), teacher_s)
    with np.errstate(over="ignore"):
        share = 1.0 / (1.0 + np.exp((rule.beyond - np.abs(residual)) / rule.over))
    doubt = np.where(sound, np.where(share < _NEGLIGIBLE, 0.0, share), 1.0)
    log_record = np.log(np.where(sound, recorded_s, teacher_s))
    blended = np.exp((1.0 - doubt) * log_record + doubt * np.log(teacher_s))
    seconds = np.where(doubt == 0.0, recorded_s, blended)
    odd = np.where(residual < 0, TOO_SHORT, TOO_LONG).astype(object)
    faults = [(~mature, WAITING, TOO_EARLY), (absent, BACKFILL, NO_RECORD)]
    inside = (recorded_s >= MIN_DURATION_S) & (recorded_s <= MAX_DURATION_S)
    faults += [(~inside, TEACHER, OUTSIDE), (~sound, TEACHER, TOO_FAST)]
    source = np.where(doubt > 0.0, BLEND, RECORD).astype(object)
    reason = np.where(doubt > 0.0, odd, "").astype(object)
    for which, name, why in reversed(faults):
        source[which], reason[which] = name, why
    return Labels(np.where(mature, seconds, np.nan), source, np.where(mature, doubt, 0.0), reason)


_NEGLIGIBLE: Final = 0.01


@dataclass(frozen=True)
class Queries:
    """Trips that nobody made [n], in the order of time: zones by position, starts in whole epoch seconds."""

    pickup: Positions
    dropoff: Positions
    at_s: Ints


def draw_queries(
    pickup: Positions, dropoff: Positions, at_s: Ints, *, rows: int, rare_share: float, seed: int
) -> Queries:
    """Draw queries over zone pair and time, also where and when trips are rare.

    Times are uniform over the trips' span, night and day alike. Pairs are those of trips, by the square root of how
    often they occur; in `rare_share` of the queries both zones are drawn apart, each by the square root of how often it
    does, so that most of the pairs never had a trip. No zone without any trip is drawn: nothing is known there.
    """
    rng = np.random.default_rng(seed)
    pairs, trips = np.unique(np.stack([pickup, dropoff]), axis=1, return_counts=True)
    picked = rng.choice(pairs.shape[1], size=rows, p=_tempered(trips))
    start, end = pairs[0, picked], pairs[1, picked]
    apart = rng.random(rows) < rare_share
    for side, zones in ((start, pickup), (end, dropoff)):
        seen, visits = np.unique(zones, return_counts=True)
        side[apart] = rng.choice(seen, size=int(apart.sum()), p=_tempered(visits))
    times = np.sort(rng.integers(int(at_s.min()), int(at_s.max()) + 1, size=rows))
    return Queries(start.astype(np.intp), end.astype(np.intp), times)


def merged(some: Queries, others: Queries) -> Queries:
    """Both, in the order of time."""
    at_s = np.concatenate([some.at_s, others.at_s])
    order = np.argsort(at_s, kind="stable")
    pickup, dropoff = np.concatenate([some.pickup, others.pickup]), np.concatenate([some.dropoff, others.dropoff])
    return Queries(pickup[order], dropoff[order], at_s[order])


def _tempered(counts: npt.NDArray[np.int64]) -> Floats:
    roots: Floats = np.sqrt(counts.astype(np.float64))
    return roots / float(roots.sum())
