"""What moved between two sets of trips: distances with stated definitions, and one rule for what counts as moved.

A number is cut at the deciles of the reference (a number of few values, and a label, by its values; absent ones by
themselves), and the shares p of the reference and q of the current rows in these bins are compared:

* PSI = sum (q - p) ln(q / p), half a row added to each bin so that an empty one does not make it infinite;
* JS distance = the root of the Jensen-Shannon divergence of p and q in bits, 0 to 1;
* Wasserstein / sigma = area between the two distribution functions of what is present, over the reference's deviation.

A feature has moved where both are so:

* PSI is over what it reaches by chance with alpha / (number of features): Bonferroni's correction, which holds however
  the features depend on one another;
* the effect is no trifle, however many rows there are: PSI >= `min_psi` (0.1, where the field's rule of thumb begins to
  look), or Wasserstein / sigma >= `min_wasserstein` (0.2: of a mere shift it is Cohen's d, and that is his "small").

By chance: where p and q estimate the same shares s, PSI is about sum (q - p)^2 / s, for independent rows (1/n + 1/m)
times chi-square of bins - 1 degrees of freedom (Yurdakul and Naranjo, "Statistical properties of the population
stability index", J. Risk Model Validation 14(4), 2020). But trips of a day share its traffic, and a window of a week is
the same for all trips of many days. So rows count by blocks of as many days as the column remembers, and PSI is
sum lambda_i chi-square_1, the lambdas being the eigenvalues of s^-1/2 (V_p + V_q) s^-1/2 with the covariances V between
blocks. By Rao and Scott (Ann. Statist. 12, 1984) that is about (sum lambda) F(v, v d) with
v = (sum lambda)^2 / sum lambda^2 and d = blocks - 2. With independent rows and many blocks the two are one. With few
blocks nothing can be told from chance: the distances stand there unjudged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from contracts.schema import Floats

Kind: TypeAlias = Literal["data", "prediction", "label"]
Labels = npt.NDArray[np.object_]
_BINS: Final = 10
_FEW: Final = 12  # a number of no more values than these is cut by its values
_LABELS: Final = 20  # the commonest labels have a bin each, the others one together
_MIN_BLOCKS: Final = 4  # a covariance between fewer says nothing
_LOW, _MIDDLE, _HIGH = "p10", "median", "p90"
_QUANTILES: Final = {_MIDDLE: 0.5, _LOW: 0.1, _HIGH: 0.9}


@dataclass(frozen=True)
class Rule:
    """What counts as moved: `alpha` is the chance of any alarm over all features where nothing moved."""

    alpha: float = 0.05
    min_psi: float = 0.1
    min_wasserstein: float = 0.2


DEFAULT: Final = Rule()


@dataclass(frozen=True)
class Column:
    """One thing that is watched: numbers (NaN is absent) or labels [n]; rows `memory_days` apart are independent."""

    kind: Kind
    values: Floats | Labels
    memory_days: int = 1


@dataclass(frozen=True)
class Shift:
    """How far a column moved; `what` went from `before` to `after`: a quantile, a label's share, or the absents'."""

    name: str
    kind: Kind
    psi: float
    chance: float | None  # what PSI passes by chance with the rule's alpha; none where too few days can't tell
    js: float
    wasserstein: float | None  # over sigma; none for labels, and where the reference does not vary
    what: str
    before: float
    after: float
    moved: bool


def compare(
    reference: Mapping[str, Column],
    current: Mapping[str, Column],
    *,
    days: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    rule: Rule = DEFAULT,
) -> list[Shift]:
    """Shifts of the columns that both have, the largest first; `days` are those of the rows of either side."""
    shared = [name for name in reference if name in current]
    level = rule.alpha / max(len(shared), 1)
    found = [shift(name, reference[name], current[name], days=days, level=level, rule=rule) for name in shared]
    return sorted(found, key=lambda one: -one.psi)


def share_moved(shifts: Sequence[Shift]) -> float | None:
    """The share that moved of the columns that could be judged; None where none could."""
    judged = [one.moved for one in shifts if one.chance is not None]
    return sum(judged) / len(judged) if judged else None


def shift(
    name: str,
    reference: Column,
    current: Column,
    *,
    days: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    level: float,
    rule: Rule = DEFAULT,
) -> Shift:
    """How far one column moved; `level` is the chance that PSI passes `Shift.chance` where nothing did."""
    bins = _bins(reference.values)
    p_bins, q_bins = bins.place(reference.values), bins.place(current.values)
    p, q = (_shares(rows, bins.size) for rows in (p_bins, q_bins))
    what, before, after = _words(reference.values, current.values, bins, (p, q))
    psi = float(((q - p) * np.log(q / p)).sum())
    blocks = tuple((day - day.min()) // reference.memory_days for day in days)
    chance = by_chance((p_bins, q_bins), blocks, bins=bins.size, level=level)
    wasserstein = _wasserstein(reference.values, current.values)
    no_trifle = psi >= rule.min_psi or (wasserstein or 0.0) >= rule.min_wasserstein
    return Shift(
        name=name,
        kind=reference.kind,
        psi=psi,
        chance=chance,
        js=js_distance(p, q),
        wasserstein=wasserstein,
        what=what,
        before=before,
        after=after,
        moved=chance is not None and psi > chance and no_trifle,
    )


def by_chance(
    rows: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    blocks: tuple[npt.NDArray[np.int64], ...],
    *,
    bins: int,
    level: float,
) -> float | None:
    """The PSI that two draws of the same thing pass with the chance `level`, from the bins and blocks of their rows.

    A side of few blocks is taken to vary between them as the other does; None where both have few.
    """
    found = [_between(*side, bins) for side in zip(rows, blocks, strict=True)]
    if max(count for _, count in found) < _MIN_BLOCKS:
        return None
    scale = 1.0 / np.sqrt(_shares(np.concatenate(rows), bins))
    spread, freedom = np.zeros((bins, bins)), 0
    for side, (own, other) in zip(rows, (found, found[::-1]), strict=True):
        covariance, count = own
        if count < _MIN_BLOCKS:
            covariance = other[0] * other[1] / count
        shares = _shares(side, bins)
        independent = (np.diag(shares) - np.outer(shares, shares)) / len(side)
        if (np.diag(covariance) * scale**2).sum() > (np.diag(independent) * scale**2).sum():
            freedom += count - 1 if count >= _MIN_BLOCKS else 0
        else:
            covariance = independent
        spread += covariance * np.outer(scale, scale)
    total, squares = float(np.trace(spread)), float((spread**2).sum())
    like = total**2 / squares  # degrees of freedom
    ratio = stats.f.isf(level, like, like * freedom) if freedom else stats.chi2.isf(level, like) / like
    return float(total * ratio)


def js_distance(p: Floats, q: Floats) -> float:
    """The root of the Jensen-Shannon divergence, in bits, of shares that are all above zero."""
    middle = (p + q) / 2
    divergence = (p * np.log2(p / middle)).sum() / 2 + (q * np.log2(q / middle)).sum() / 2
    return float(np.sqrt(max(divergence, 0.0)))


@dataclass(frozen=True)
class _Bins:
    """Bins between `edges`, or one for each value of `known` and one for all others; the last is for absent ones."""

    edges: Floats | None
    known: tuple[object, ...]

    @property
    def absent(self) -> int:
        return len(self.known if self.edges is None else self.edges) + 1

    @property
    def size(self) -> int:
        return self.absent + 1

    def place(self, values: Floats | Labels) -> npt.NDArray[np.intp]:
        """The bin of each value."""
        if self.edges is not None:
            numbers = values.astype(np.float64)
            return np.where(np.isnan(numbers), self.absent, np.searchsorted(self.edges, numbers))
        number = {value: at for at, value in enumerate(self.known)}
        others = len(self.known)
        # NaN alone is not itself.
        found = [self.absent if value != value else number.get(value, others) for value in values.tolist()]  # noqa: PLR0124
        return np.array(found, dtype=np.intp)


def _bins(reference: Floats | Labels) -> _Bins:
    if reference.dtype == object:
        return _Bins(None, tuple(value for value, _ in Counter(reference.tolist()).most_common(_LABELS)))
    present = _present(reference)
    distinct = np.unique(present)
    if len(distinct) <= _FEW:
        return _Bins(None, tuple(distinct.tolist()))
    return _Bins(np.unique(np.quantile(present, np.arange(1, _BINS) / _BINS)), ())


def _shares(rows: npt.NDArray[np.intp], bins: int) -> Floats:
    """Shares of the bins among rows [n], with half a row added to each."""
    counts = np.bincount(rows, minlength=bins) + 0.5
    shares: Floats = counts / counts.sum()
    return shares


def _between(rows: npt.NDArray[np.intp], block: npt.NDArray[np.int64], bins: int) -> tuple[Floats, int]:
    """The covariance of the bins' shares among rows [n], as they differ between blocks, and the number of blocks."""
    distinct, position = np.unique(block, return_inverse=True)
    counts = np.zeros((len(distinct), bins))
    np.add.at(counts, (position, rows), 1.0)
    off = counts - counts.sum(axis=1, keepdims=True) * (counts.sum(axis=0) / len(rows))
    covariance: Floats = off.T @ off * len(distinct) / max(len(distinct) - 1, 1) / len(rows) ** 2
    return covariance, len(distinct)


def _wasserstein(reference: Floats | Labels, current: Floats | Labels) -> float | None:
    if reference.dtype == object:
        return None
    before, after = _present(reference), _present(current)
    if not len(before) or not len(after) or not before.std() > 0.0:
        return None
    return float(stats.wasserstein_distance(before, after) / before.std())


def _words(
    reference: Floats | Labels, current: Floats | Labels, bins: _Bins, shares: tuple[Floats, Floats]
) -> tuple[str, float, float]:
    """What tells the shift best, and its values before and after."""
    p, q = shares
    steps = np.abs(q - p).round(9)
    if 0.0 < steps.max() <= steps[bins.absent]:
        return "absent", float(p[-1]), float(q[-1])
    if bins.edges is None:
        named = steps[: len(bins.known)]  # what has a name is told, of equal ones the commoner in the reference
        at = int(np.argmax(named)) if named.size and named.max() > 0.0 else len(bins.known)
        value = bins.known[at] if at < len(bins.known) else "others"
        return f"share of {value:g}" if isinstance(value, float) else f"share of {value}", float(p[at]), float(q[at])
    before, after = _present(reference), _present(current)
    points = {name: tuple(np.quantile(side, share) for side in (before, after)) for name, share in _QUANTILES.items()}
    far = {name: abs(to - was) for name, (was, to) in points.items()}
    widest = max(far, key=far.__getitem__)
    what = _MIDDLE if far[_MIDDLE] >= far[widest] / 2 else widest
    return what, float(points[what][0]), float(points[what][1])


def _present(values: Floats | Labels) -> Floats:
    numbers = values.astype(np.float64)
    present: Floats = numbers[~np.isnan(numbers)]
    return present
