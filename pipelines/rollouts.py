"""`tandem rollout`, `tandem flag` and `tandem token`: one home's rollouts from the command line.

A verb writes to the state database itself, and traffic has followed when it returns; it needs neither the stack nor the
controller. Whoever can write to the database is its admin, under the name of the user.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from contracts.clock import Clock, SystemClock
from contracts.errors import InvalidInput, NotFound
from contracts.roles import Actor, Role
from model_registry.admin import NO_REASON, Admin
from model_registry.rollout import Command
from model_registry.views import timestamp
from pipelines.layout import MODEL
from pipelines.rollout_store import opened, published
from pipelines.stack import Stack

_LOOK_S: Final = 1.0
_SUCCEEDED: Final = "Succeeded"
_CLOCK: Final[Clock] = SystemClock()


@contextlib.contextmanager
def _admin(home: Path) -> Iterator[Admin]:
    settings = Stack(home).settings(os.environ)
    if settings.state.startswith("sqlite") and not settings.state_url and not (home / "state.db").exists():
        raise NotFound("route table", MODEL, f"{home} has no state yet: `tandem up` makes it")
    with opened(settings) as (ledger, state):
        yield Admin(ledger, state, published(settings), _CLOCK, (MODEL,))


def start(
    home: Path, *, version: int, policy: Path | None = None, reason: str = "", replace: bool = False
) -> dict[str, Any]:
    """Begin a rollout of a published version by a policy file, or by the model's own policy."""
    document = "" if policy is None else _read(policy)
    with _admin(home) as admin:
        words = reason or NO_REASON
        begun = admin.start(version, _me(), document=document, reason=words, replace=replace)
        return {"rollout": begun, "controller": admin.controller()}


def act(home: Path, verb: Command, *, name: str | None = None, reason: str = "") -> dict[str, Any]:
    """Approve, pause, resume, abort, promote or roll back a rollout: the one under way, else the newest."""
    with _admin(home) as admin:
        done = admin.act(name or _current(admin), verb, _me(), reason or NO_REASON)
        return {"rollout": done, "controller": admin.controller()}


def status(home: Path, *, name: str | None = None) -> dict[str, Any]:
    """What serves, the flags, who controls, and a rollout: the one under way, else the newest."""
    with _admin(home) as admin:
        found = admin.status(MODEL)
        return found if name is None else found | {"rollout": admin.rollout(name)}


def watch(home: Path, *, name: str | None = None, wait: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Say on stderr what changes until the rollout is over; `ok` where it succeeded."""
    with _admin(home) as admin:
        name, said = name or _current(admin), ""
        while True:
            rollout = admin.rollout(name)
            words = f"{rollout['phase']}, step {rollout['step']}, {rollout['weight']:g} %: {rollout['reason']}"
            if words != said:
                sys.stderr.write(f"{timestamp(_CLOCK.now())} {name} {words}\n")
                sys.stderr.flush()
                said = words
            if not rollout["active"]:
                return {"ok": rollout["phase"] == _SUCCEEDED, "rollout": rollout}
            wait(_LOOK_S)


def history(home: Path, *, name: str | None = None, limit: int = 50) -> dict[str, Any]:
    """All rollouts, and the journal's newest entries after a check of the whole chain."""
    with _admin(home) as admin:
        found = [admin.rollout(name)] if name else admin.rollouts()["rollouts"]
        columns = ("id", "champion", "candidate", "phase", "since", "reason")
        rows = [{column: rollout[column] for column in columns} for rollout in found]
        return {"rollouts": rows} | admin.history(limit, name)


def flags(home: Path) -> dict[str, Any]:
    """Every flag."""
    with _admin(home) as admin:
        return admin.flags()


def set_flag(home: Path, name: str, *, on: bool, reason: str) -> dict[str, Any]:
    """Set a flag; traffic has followed when it returns."""
    with _admin(home) as admin:
        return admin.set_flag(name, _me(), reason, on=on)


def create_token(home: Path, name: str, *, role: Role, days: int) -> dict[str, Any]:
    """Make a bearer token; it is shown this once, and only its hash is kept."""
    with _admin(home) as admin:
        return admin.create_token(name, role, days, _me())


def revoke_token(home: Path, name: str, *, reason: str = "") -> dict[str, Any]:
    """End a token at once."""
    with _admin(home) as admin:
        return admin.revoke_token(name, _me(), reason or NO_REASON)


def tokens(home: Path) -> dict[str, Any]:
    """Every token that was ever made, without its secret."""
    with _admin(home) as admin:
        return admin.tokens(_me())


def _current(admin: Admin) -> str:
    found = admin.current(MODEL)
    if found is None:
        raise NotFound("rollout", MODEL, "none was ever started: tandem rollout start --version N")
    return found.id


def _read(policy: Path) -> str:
    try:
        return policy.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("policy", f"{policy} is not UTF-8 (byte {error.start})") from None


def _me() -> Actor:
    """Whoever can write to the database could do anything to it; a role would keep nobody out."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return Actor(f"{user}@{socket.gethostname()}", "admin")
