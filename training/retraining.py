"""When a new version is worth training: a pure policy of schedule, drift and error. It opens candidates, no more.

A trigger comes on after `confirm` looks in a row at or over its upper level and goes off at its lower one; in between
it stays as it is, and so it does where a look could not judge. Whatever asks for a version, two are `min_gap_days`
apart, and each has at least `min_new_days` of trips that the champion has not learned from.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.errors import InvalidInput
from contracts.features import DAY_S


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What asks for a version, and what holds it back."""

    every_days: float = 28.0  # since the champion was made or a candidate opened
    min_gap_days: float = 7.0
    min_new_days: int = 7
    window_days: int = 28  # of trips on either side of a comparison
    drift_on: float = 0.15  # share of the columns judged that moved
    drift_off: float = 0.05
    error_on: float = 1.10  # the champion's MAE on new trips over that on the test it was admitted by
    error_off: float = 1.05
    confirm: int = 2

    def __post_init__(self) -> None:
        """Refuse what would never, or always, ask for a version; raises InvalidInput with the field."""
        for name in ("drift", "error"):
            on, off = getattr(self, f"{name}_on"), getattr(self, f"{name}_off")
            if not 0.0 <= off < on:
                raise InvalidInput(f"{name}_off", f"{off:g} is not below {name}_on, {on:g}, and at least 0")
        for name in ("every_days", "min_gap_days", "min_new_days", "window_days", "confirm"):
            if not getattr(self, name) > 0:
                raise InvalidInput(name, f"{getattr(self, name):g} is not above 0")
        if self.min_gap_days > self.every_days:
            raise InvalidInput("min_gap_days", f"{self.min_gap_days:g} is over every_days, {self.every_days:g}")


DEFAULT: Final = Policy()


class Trigger(msgspec.Struct, frozen=True):
    """Looks in a row at or over the upper level, and whether that asks for a version."""

    over: int = 0
    on: bool = False

    def after(self, value: float | None, *, on: float, off: float, confirm: int) -> Trigger:
        """What it is after a look; None could not be judged."""
        if value is None or value != value:  # noqa: PLR0124 - NaN
            return self
        if value <= off:
            return Trigger()
        over = self.over + 1 if value >= on else 0
        return Trigger(over, self.on or over >= confirm)


class Memory(msgspec.Struct, frozen=True):
    """What is kept from look to look: the champion that the triggers are about, when a candidate was opened last."""

    version: int | None = None
    drift: Trigger = Trigger()
    error: Trigger = Trigger()
    opened_at: float | None = None  # epoch seconds


class Look(msgspec.Struct, frozen=True):
    """What was found now. Without a champion there is nothing else to say."""

    version: int | None
    made_at: float = 0.0  # epoch seconds: when the champion was trained
    new_days: float = 0.0  # of trips after the last that it learned from
    drift: float | None = None  # share of the columns judged that moved
    error: float | None = None  # MAE now over MAE then


class Decision(msgspec.Struct, frozen=True):
    """Whether to open a candidate, and why or why not."""

    open: bool
    reason: str


def decide(policy: Policy, memory: Memory, look: Look, now: float) -> tuple[Memory, Decision]:
    """Take a look into the memory and say what to do; `now` is in epoch seconds.

    An opened candidate counts from the moment that it was decided on, whether or not its gates let it through.
    """
    if look.version != memory.version:  # the triggers were about another model
        memory = Memory(version=look.version, opened_at=memory.opened_at)
    memory = msgspec.structs.replace(
        memory,
        drift=memory.drift.after(look.drift, on=policy.drift_on, off=policy.drift_off, confirm=policy.confirm),
        error=memory.error.after(look.error, on=policy.error_on, off=policy.error_off, confirm=policy.confirm),
    )
    wanted = _wanted(policy, memory, look, now)
    held = _held(policy, memory, look, now)
    if not wanted:
        return memory, Decision(open=False, reason=_at_rest(policy, memory, look, now))
    if held:
        return memory, Decision(open=False, reason=f"{wanted}; but {held}")
    return msgspec.structs.replace(memory, opened_at=now), Decision(open=True, reason=wanted)


def _wanted(policy: Policy, memory: Memory, look: Look, now: float) -> str:
    """Why a version is wanted; the strongest reason, or none."""
    if look.version is None:
        return "there is no version yet"
    if memory.error.on:
        return f"the error is {_value(look.error)} times what it was, {policy.error_on:g} or more asked for a version"
    if memory.drift.on:
        return f"{_share(look.drift)} of the columns moved, {policy.drift_on:.0%} or more asked for a version"
    since = (now - _latest(memory, look)) / DAY_S
    if since >= policy.every_days:
        return f"the last one was made {since:.1f} days ago, every {policy.every_days:g} there is one"
    return ""


def _held(policy: Policy, memory: Memory, look: Look, now: float) -> str:
    """What holds a version back, or nothing."""
    if memory.opened_at is not None and (gap := (now - memory.opened_at) / DAY_S) < policy.min_gap_days:
        return f"a candidate was opened {gap:.1f} days ago, {policy.min_gap_days:g} are between two"
    if look.version is not None and look.new_days < policy.min_new_days:
        return f"there are {look.new_days:.1f} days of trips that it has not learned from, {policy.min_new_days} needed"
    return ""


def _at_rest(policy: Policy, memory: Memory, look: Look, now: float) -> str:
    since = (now - _latest(memory, look)) / DAY_S
    parts = [f"made or opened {since:.1f} of {policy.every_days:g} days ago"]
    parts.append(f"{_share(look.drift)} of the columns moved ({memory.drift.over} of {policy.confirm} looks over)")
    parts.append(f"error {_value(look.error)} times what it was ({memory.error.over} of {policy.confirm} looks over)")
    return "nothing asks for a version: " + ", ".join(parts)


def _latest(memory: Memory, look: Look) -> float:
    return max(look.made_at, memory.opened_at or 0.0)


def _value(value: float | None) -> str:
    return "not known to be" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.0%}"
