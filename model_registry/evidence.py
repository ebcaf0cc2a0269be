"""What the judge is shown: counts by arm in cells of time that merge by addition, and sums over experiment units."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from model_registry.histogram import Histogram


class Arm(Struct, frozen=True, forbid_unknown_fields=True):
    """One arm in one cell of time.

    `errors` are the arm's own failures, before any fallback hides them; `fallbacks` is what callers got. Labels stand
    in the cell in which they became mature: prediction time + one cut, the same for both arms, since short trips
    report first.
    """

    requests: int = 0
    errors: int = 0
    fallbacks: int = 0
    latency: Histogram = Histogram()  # ms, request to answer
    model: Histogram = Histogram()  # ms, the model alone
    labels: int = 0
    abs_error_sum: float = 0.0  # seconds
    abs_error_sumsq: float = 0.0

    def __post_init__(self) -> None:
        """Refuse counts that cannot be: a share below 0 would pass every bound."""
        if not (0 <= self.errors <= self.requests and 0 <= self.fallbacks <= self.requests and self.labels >= 0):
            raise ValueError(f"{self.errors} errors and {self.fallbacks} fallbacks of {self.requests} requests")


class Cell(Struct, frozen=True, forbid_unknown_fields=True):
    """Both arms over the same span of time, from `at` (epoch seconds) to the next cell."""

    at: float
    champion: Arm
    candidate: Arm


class Moments(Struct, frozen=True, forbid_unknown_fields=True):
    """Sums over units of one arm: y is the unit's mean metric, x the same before the experiment (0 where not known)."""

    n: int = 0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0


class Pairs(Struct, frozen=True, forbid_unknown_fields=True):
    """A shadow beside what was answered, request by request; a difference is the shadow's less the champion's."""

    requests: int = 0
    trips: int = 0  # to which both versions had an answer: the differences are of these
    diff_sum: float = 0.0  # seconds
    diff_sumsq: float = 0.0
    abs_diff: Histogram = Histogram()  # of milliseconds, as every histogram here
    timed: int = 0  # requests on which both models came to an end
    model_diff_sum: float = 0.0  # ms
    only_champion_failed: int = 0
    only_shadow_failed: int = 0
    both_failed: int = 0
    labels: int = 0  # trips of those whose end is known
    abs_error_sum: float = 0.0  # seconds, the champion's
    abs_error_diff_sum: float = 0.0
    abs_error_diff_sumsq: float = 0.0


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything since the present step was entered, and nothing from before.

    `cells` are oldest first; the oldest may be left out where every guardrail's window is full without them. `samples`
    are the candidate's requests, `units` the distinct units (champion, candidate), `ab` the moments in that order.
    A request whose arm a tester chose counts nowhere: the split did not choose it. `pairs` are a shadow step's.
    """

    cells: tuple[Cell, ...] = ()
    samples: int = 0
    units: tuple[int, int] = (0, 0)
    ab: tuple[Moments, Moments] | None = None
    pairs: Pairs | None = None


def window(
    cells: Sequence[Cell], *, since: float, needed: int, count: Callable[[Arm], int]
) -> tuple[Sequence[Cell], int]:
    """The shortest run of newest cells back to `since` that holds `needed` of the candidate, and how many it holds.

    Low traffic thus lengthens the window instead of emptying it, as far back as the step's start.
    """
    held, first = 0, len(cells)
    while first > 0 and (cells[first - 1].at >= since or held < needed):
        first -= 1
        held += count(cells[first].candidate)
    return cells[first:], held
