"""What a candidate must show before it is registered: Evidence in, a result a gate out.

A gate never passes for want of data: no rows are no proof. Where there is no champion to be held against, the evidence
must say why, and the gate `comparison` refuses unless it is the first version, or somebody let it through by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.errors import TandemError
from contracts.manifest import Parity
from contracts.schema import Floats
from contracts.trips import MAX_DURATION_S, MIN_DURATION_S
from training.evaluate import Estimates, Labels, mae_change_interval
from training.frontier import SLACK_US


@dataclass(frozen=True)
class Limits:
    """What is allowed; shares are of the reference's value."""

    exact_diff_s: float = 0.1
    rounded_loss: float = 0.005  # of the native model's MAE, by quantization, over all trips
    rounded_slice_loss: float = 0.02  # the same in any slice
    slower_by: float = 0.5  # than the champion: p50s of the same model, of the same run, differ by a third at times
    slower_by_us: float = SLACK_US  # allowed in any case, or the rule that picks a family would be overruled here
    worse_by: float = 0.01  # than the champion: the 95 % interval's upper end
    slice_worse_by: float = 0.05  # than the champion, in any slice
    slice_trips: int = 500  # a slice of fewer varies by as much as the bound
    days: int = 3  # of the test; fewer make no interval over days
    repeat_diff_s: float = 0.05  # what a replica tolerates of its golden rows


DEFAULT: Final = Limits()


@dataclass(frozen=True)
class SchemaFound:
    """The model's own width and the schema it was made for, against those of this release."""

    width: int
    schema_hash: str
    expected_width: int
    expected_hash: str


@dataclass(frozen=True)
class Reference:
    """The champion on the same trips [n], its p50 µs measured beside the candidate's."""

    name: str
    eta_s: Floats
    p50_us: float


@dataclass(frozen=True)
class NoReference:
    """Why there is no champion to compare with, and whether that was accepted, by whom or why being in the words."""

    why: str
    accepted: bool


@dataclass(frozen=True)
class Evidence:
    """A candidate for one use, on test trips [n] with their days and slices.

    `answers` are the exported model's, `native_s` the estimates of the library that trained it; `parity` compares the
    two on many more rows. `awkward` holds answers to rows with absent and extreme entries.
    """

    use: str  # such as ``eta.onnx``
    candidate: str
    exact: bool
    schema: SchemaFound
    parity: Parity
    size: int
    size_limit: int
    p50_us: float
    batch: int
    actual_s: Floats
    day: npt.NDArray[np.int64]
    labels: Mapping[str, Labels]
    answers: Estimates
    native_s: Floats
    awkward: Estimates
    repeat_diff_s: float
    baselines: Mapping[str, Floats]
    champion: Reference | NoReference


@dataclass(frozen=True)
class GateResult:
    """One gate's verdict: the value that decided, its limit, and both in a sentence."""

    name: str
    passed: bool
    value: float
    limit: float
    words: str


class GatesFailed(TandemError):
    """A candidate is not registered."""

    def __init__(self, use: str, candidate: str, results: Sequence[GateResult]) -> None:
        failed = [one for one in results if not one.passed]
        what = "; ".join(f"{one.name}: {one.words}" for one in failed)
        super().__init__(f"{candidate} for {use} failed {len(failed)} of {len(results)} gates and is not kept: {what}")
        self.results = tuple(results)


def judge(evidence: Evidence, limits: Limits = DEFAULT) -> list[GateResult]:
    """The verdict of every gate."""
    return [
        _schema(evidence),
        _finite(evidence),
        _determinism(evidence, limits),
        _parity(evidence, limits),
        _size(evidence),
        _baselines(evidence, limits),
        _comparison(evidence),
        _latency(evidence, limits),
        _champion(evidence, limits),
        _slices(evidence, limits),
    ]


def _schema(found: Evidence) -> GateResult:
    schema = found.schema
    same = schema.schema_hash == schema.expected_hash and schema.width == schema.expected_width
    words = (
        f"{schema.width} entries of schema {schema.schema_hash[:12]}…, "
        f"expected {schema.expected_width} of {schema.expected_hash[:12]}…"
    )
    return GateResult("schema", same, schema.width, schema.expected_width, words)


def _finite(found: Evidence) -> GateResult:
    rows, bad = 0, 0
    for answers in (found.answers, found.awkward):
        low_s = answers.eta_s if answers.low_s is None else answers.low_s
        high_s = answers.eta_s if answers.high_s is None else answers.high_s
        plausible = (low_s >= MIN_DURATION_S) & (low_s <= answers.eta_s)
        plausible &= (answers.eta_s <= high_s) & (high_s <= MAX_DURATION_S)  # all false for NaN
        rows, bad = rows + len(plausible), bad + int((~plausible).sum())
    shown = min(len(found.answers.eta_s), len(found.awkward.eta_s)) > 0
    words = (
        f"{bad} of {rows} answers are no number, out of order or outside {MIN_DURATION_S:g}..{MAX_DURATION_S:g} s, "
        "expected 0"
    )
    return GateResult("finite", shown and bad == 0, bad, 0, words if shown else "no rows to answer")


def _determinism(found: Evidence, limits: Limits) -> GateResult:
    words = (
        f"the same rows asked again, alone or among others, differ by {found.repeat_diff_s:.3f} s, "
        f"at most {limits.repeat_diff_s:g} s"
    )
    return _at_most("determinism", found.repeat_diff_s, limits.repeat_diff_s, words)


def _parity(found: Evidence, limits: Limits) -> GateResult:
    if found.exact:
        rows, flips, largest = found.parity.rows, found.parity.branch_flips, found.parity.max_abs_diff_s
        words = (
            f"{flips} of {rows:,} rows take another branch, expected 0; the exported model is up to "
            f"{largest:.3f} s off, at most {limits.exact_diff_s:g} s"
        )
        passed = rows > 0 and flips == 0 and largest <= limits.exact_diff_s
        return GateResult("parity", passed, largest, limits.exact_diff_s, words)
    overall = _change(found.actual_s, found.answers.eta_s, found.native_s)
    where, worst = _worst(found, found.native_s, limits.slice_trips)
    words = (
        f"quantization changes the error by {overall:+.2%}, at most {limits.rounded_loss:+.2%}; "
        f"by {worst:+.2%} in {where}, at most {limits.rounded_slice_loss:+.2%}"
    )
    passed = overall <= limits.rounded_loss and worst <= limits.rounded_slice_loss
    return GateResult("parity", passed, overall, limits.rounded_loss, words)


def _size(found: Evidence) -> GateResult:
    return _at_most("size", found.size, found.size_limit, f"{found.size:,} bytes, at most {found.size_limit:,}")


def _latency(found: Evidence, limits: Limits) -> GateResult:
    if isinstance(found.champion, NoReference):
        return _not_held("latency", limits.slower_by)
    slower = found.p50_us / found.champion.p50_us - 1.0
    limit = max(limits.slower_by, limits.slower_by_us / found.champion.p50_us)
    words = (
        f"{found.p50_us:,.0f} µs for {found.batch} at a time against {found.champion.p50_us:,.0f} µs of "
        f"{found.champion.name}, {slower:+.0%}, at most {limit:+.0%}"
    )
    return _at_most("latency", slower, limit, words)


def _baselines(found: Evidence, limits: Limits) -> GateResult:
    """Better than every baseline, with 95 %: a model that is not does not earn its store."""
    silent = [name for name, eta_s in found.baselines.items() if not len(eta_s)]
    if silent or not found.baselines:
        words = f"no answers of {', '.join(silent) or 'any baseline'} to be held against"
        return GateResult("baselines", False, float("nan"), 0.0, words)
    if few := _too_few_days(found, limits):
        return GateResult("baselines", False, float("nan"), 0.0, few)
    ends = {
        name: mae_change_interval(found.actual_s, found.answers.eta_s, eta_s, found.day)[1]
        for name, eta_s in found.baselines.items()
    }
    closest = max(ends, key=ends.__getitem__)
    words = f"the error is up to {ends[closest]:+.1%} against {closest} (95 % over days), expected below +0.0%"
    return GateResult("baselines", ends[closest] < 0.0, ends[closest], 0.0, words)


def _comparison(found: Evidence) -> GateResult:
    """Whether there was a champion to be held against; where there was none, that must have been accepted."""
    if isinstance(found.champion, Reference):
        return GateResult("comparison", True, 1.0, 1.0, f"held against {found.champion.name}")
    words = f"not held against a champion: {found.champion.why}"
    return GateResult("comparison", found.champion.accepted, 0.0, 1.0, words)


def _champion(found: Evidence, limits: Limits) -> GateResult:
    if isinstance(found.champion, NoReference):
        return _not_held("champion", limits.worse_by)
    if few := _too_few_days(found, limits):
        return GateResult("champion", False, float("nan"), limits.worse_by, few)
    low, high = mae_change_interval(found.actual_s, found.answers.eta_s, found.champion.eta_s, found.day)
    words = (
        f"the error is {low:+.2%} to {high:+.2%} against {found.champion.name} (95 % over days), "
        f"at most {limits.worse_by:+.2%}"
    )
    return _at_most("champion", high, limits.worse_by, words)


def _slices(found: Evidence, limits: Limits) -> GateResult:
    if isinstance(found.champion, NoReference):
        return _not_held("slices", limits.slice_worse_by)
    where, worst = _worst(found, found.champion.eta_s, limits.slice_trips)
    words = (
        f"in {where} the error is {worst:+.1%} against {found.champion.name}, at most {limits.slice_worse_by:+.1%} "
        f"in any slice of {limits.slice_trips} trips"
    )
    return _at_most("slices", worst, limits.slice_worse_by, words)


def _worst(found: Evidence, reference_s: Floats, trips: int) -> tuple[str, float]:
    """The slice of enough trips in which the error grows most, and by what share; NaN where no slice has enough."""
    where, worst = "no slice", float("nan")
    for name, value, rows in _slices_of(found.labels):
        if rows.sum() >= trips:
            change = _change(found.actual_s[rows], found.answers.eta_s[rows], reference_s[rows])
            if not change <= worst:
                where, worst = f"{name} {value}", change
            if change != change:  # noqa: PLR0124 - NaN: what can't be judged is the worst there is
                break
    return where, worst


def _slices_of(labels: Mapping[str, Labels]) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    for name, label in labels.items():
        for value in sorted(set(label)):
            yield name, str(value), label == value


def _change(actual_s: Floats, eta_s: Floats, reference_s: Floats) -> float:
    if not len(actual_s):
        return float("nan")
    ours, theirs = np.abs(eta_s - actual_s).mean(), np.abs(reference_s - actual_s).mean()
    return float(ours / max(theirs, 1e-12) - 1.0)


def _at_most(name: str, value: float, limit: float, words: str) -> GateResult:
    return GateResult(name, bool(value <= limit), float(value), float(limit), words)  # NaN does not pass


def _not_held(name: str, limit: float) -> GateResult:
    return GateResult(name, True, float("nan"), limit, "not held against a champion: the gate `comparison` says why")


def _too_few_days(found: Evidence, limits: Limits) -> str:
    """Why an interval over days would say nothing; empty where it does."""
    days = len(np.unique(found.day))
    return "" if days >= limits.days else f"{days} test days make no interval, at least {limits.days}"
