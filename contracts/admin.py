"""What people and programs ask of rollouts and flags; an unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from contracts.roles import Role

MAX_REASON: Final = 500
MAX_POLICY_BYTES: Final = 16 << 10
MAX_DAYS: Final = 3650
MAX_VERSION: Final = 10**9
Reason = Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]


class StartRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Begin a rollout of a published version; by the model's own policy where none is given."""

    version: Annotated[int, Meta(ge=1, le=MAX_VERSION)]
    policy: msgspec.Raw | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    replace: bool = False


class ActRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why somebody acts on a rollout."""

    reason: Reason | UnsetType = UNSET


class TokenRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Make a bearer token for somebody or something, good for some days."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    role: Role
    days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] = 90


class FlagRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Set one flag."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    on: bool
    reason: Reason
