"""The highest rate that holds: doubling until it breaks, bisection, and a longer step that confirms."""

from __future__ import annotations

from collections.abc import Callable

PRECISION = 0.05
CEILING = 20_000.0


def highest_rate(holds: Callable[[float], bool], confirmed: Callable[[float], bool], *, start: float) -> float:
    """Requests/s within `PRECISION` of the break, searched from `start`; 0 where not even 1 holds.

    `confirmed` has the last word, and lowers the rate until it agrees.
    """
    good, bad = _bracket(holds, start)
    while good and bad / good > 1 + PRECISION:
        middle = (good * bad) ** 0.5
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return _lowered(confirmed, good)


def nearby(confirmed: Callable[[float], bool], known: float) -> float:
    """Walk in steps of `PRECISION` from a rate that was found before."""
    if not confirmed(known):
        return _lowered(confirmed, known * (1 - PRECISION))
    good = known
    while good < CEILING and confirmed(good * (1 + PRECISION)):
        good *= 1 + PRECISION
    return good


def _lowered(confirmed: Callable[[float], bool], rate: float) -> float:
    while rate >= 1 and not confirmed(rate):
        rate *= 1 - PRECISION
    return rate if rate >= 1 else 0.0


def _bracket(holds: Callable[[float], bool], start: float) -> tuple[float, float]:
    """Return a rate that holds and a higher one that does not: (0, x) where none holds, (x, x) at the ceiling."""
    rate = start
    if holds(rate):
        while rate < CEILING:
            good, rate = rate, min(rate * 2, CEILING)
            if not holds(rate):
                return good, rate
        return rate, rate
    while rate > 1:
        bad, rate = rate, max(rate / 2, 1.0)
        if holds(rate):
            return rate, bad
    return 0.0, rate
