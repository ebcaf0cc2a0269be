"""Switches for people: they go through the same audited state as the rollouts."""

from __future__ import annotations

import msgspec

from contracts.errors import InvalidInput

KILL_SWITCH = "kill_switch"  # on: every model's traffic goes to the deterministic fallback
FREEZE = "freeze"  # on: nothing moves forward; a rollback still happens
ENABLED = "enabled."  # + model, on by default; off: that model's traffic goes to the fallback


class Flags(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All switches as they stand."""

    kill_switch: bool = False
    freeze: bool = False
    disabled: tuple[str, ...] = ()  # models
    revision: int = 0  # 0: never set

    def fallback_only(self, model: str) -> bool:
        """Whether the model must not answer."""
        return self.kill_switch or model in self.disabled

    def set(self, name: str, *, on: bool) -> Flags:
        """The flags with one of them set; raises InvalidInput for an unknown name."""
        if name in (KILL_SWITCH, FREEZE):
            return msgspec.structs.replace(self, **{name: on})
        model = name.removeprefix(ENABLED)
        if model == name or not model:
            raise InvalidInput("name", f"{name!r} is none of {KILL_SWITCH}, {FREEZE}, {ENABLED}<model>")
        others = {other for other in self.disabled if other != model}
        return msgspec.structs.replace(self, disabled=tuple(sorted(others if on else others | {model})))

    def listed(self, model: str) -> dict[str, bool]:
        """Every flag that bears on a model, by name."""
        return {
            KILL_SWITCH: self.kill_switch,
            FREEZE: self.freeze,
            f"{ENABLED}{model}": model not in self.disabled,
        }
