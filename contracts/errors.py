"""Domain errors. Each builds its own message and names the thing, the value and the limit."""

from __future__ import annotations


class TandemError(Exception):
    """Anything Tandem explains in a sentence instead of a traceback."""


class InvalidInput(TandemError):
    """The caller sent something that breaks the contract.

    `field` is a path such as ``trips[3].pickup.zone``, empty where the whole document is at fault.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class NotFound(TandemError):
    """A named thing does not exist."""

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        super().__init__(f"{kind} {name!r} not found" + (f"; {hint}" if hint else ""))
        self.kind = kind
        self.name = name


class ArtifactInvalid(TandemError):
    """A model artifact fails a check and must not serve."""

    def __init__(self, artifact: str, check: str, detail: str) -> None:
        super().__init__(f"artifact {artifact} refused by the {check} check: {detail}")
        self.artifact = artifact
        self.check = check


class SchemaMismatch(TandemError):
    """Data does not have the columns or the hash that a schema asks for."""

    def __init__(self, thing: str, found: str, expected: str) -> None:
        super().__init__(f"{thing}: found {found}, expected {expected}")


class Unavailable(TandemError):
    """A dependency did not answer in time or not at all; the reason is a word for metrics and answers."""

    def __init__(self, dependency: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{dependency} unavailable ({reason})" + (f": {detail}" if detail else ""))
        self.dependency = dependency
        self.reason = reason


class Declined(TandemError):
    """What was asked for is right, and is not to be had; the reason is a word for answers and metrics."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class DataRefused(TandemError):
    """A data file or source breaks a stated rule."""

    def __init__(self, source: str, rule: str) -> None:
        super().__init__(f"{source}: {rule}")
        self.source = source


class NotAllowed(TandemError):
    """Whoever asks may not do it, however often they ask."""

    def __init__(self, wish: str, found: str, expected: str) -> None:
        super().__init__(f"{wish}: {found}, {expected}")


class NotNow(TandemError):
    """A wish that the present state does not grant."""
