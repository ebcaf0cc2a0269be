"""Which processors the front and the replicas' listeners keep to.

The kernel likes to run who is woken on the processor of who woke it. Front and replica wake each other all the time,
and would share one processor, each waiting for the other, while the next one idles.
"""

from __future__ import annotations

from collections.abc import Iterable


def front_cpu(allowed: Iterable[int]) -> int | None:
    """The front's processor: the first of those allowed; None where there is no choice."""
    cpus = sorted(allowed)
    return cpus[0] if len(cpus) > 1 else None


def listener_cpu(allowed: Iterable[int], slot: int, replicas: int) -> int | None:
    """A listener's processor, beside the front's; None where there are more replicas than that: they share all.

    In the slots beyond the replicas' own, which a rolling update uses, a listener is free: bound by its slot it might
    meet another on one processor for as long as both live.
    """
    others = sorted(allowed)[1:]
    return others[slot] if slot < replicas <= len(others) else None
