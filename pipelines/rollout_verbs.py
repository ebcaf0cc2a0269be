"""The words of `tandem rollout`, `tandem flag` and `tandem token`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from contracts.roles import ROLES
from pipelines.arguments import positive

Run = Callable[..., dict[str, Any]]
Verb = Callable[..., argparse.ArgumentParser]
_COMMANDS: Final = {
    "approve": "Let a rollout that waits for a person enter its next step.",
    "pause": "Keep the traffic as it is and move nothing on; guardrails still protect.",
    "resume": "Go on from a pause; the step's time begins anew.",
    "abort": "End a rollout; all traffic goes back to the champion at once.",
    "promote": "Make the candidate the champion now, whatever steps are left.",
    "rollback": "Take the candidate's traffic away at once; also takes back the newest success.",
}
_LONGEST_HISTORY: Final = 10_000


def add(verbs: Any, verb: Verb, run: Run) -> None:
    """Add the three to a parser; `run(module, function, home, …)` runs a pipeline."""
    under = verbs.add_parser("rollout", help="staged promotion of a version").add_subparsers(
        required=True, metavar="VERB"
    )
    _add_rollout(under, verb, run)
    _add_flag(verbs.add_parser("flag", help="switches").add_subparsers(required=True, metavar="VERB"), verb, run)
    tokens = verbs.add_parser("token", help="bearer tokens of the admin API and of testers")
    _add_token(tokens.add_subparsers(required=True, metavar="VERB"), verb, run)


def _add_rollout(under: Any, verb: Verb, run: Run) -> None:
    def start(a: argparse.Namespace) -> dict[str, Any]:
        words = {"policy": a.policy, "reason": a.reason, "replace": a.replace}
        return _told(a, run("rollouts", "start", a.home, version=a.version, **words))

    def status(a: argparse.Namespace) -> dict[str, Any]:
        return _told(a, run("rollouts", "watch" if a.watch else "status", a.home, name=a.id))

    def history(a: argparse.Namespace) -> dict[str, Any]:
        found = run("rollouts", "history", a.home, name=a.id, limit=a.limit)
        return found if a.json else found | {"journal": [_for_people(entry) for entry in found["journal"]]}

    def act(name: str) -> Callable[[argparse.Namespace], dict[str, Any]]:
        return lambda a: _told(a, run("rollouts", "act", a.home, name, name=a.id, reason=a.reason))

    begin = verb("start", start, "Begin a staged promotion of a published version.", under)
    begin.add_argument("--version", type=positive, required=True, metavar="N")
    begin.add_argument("--policy", type=Path, metavar="FILE", help="default: the model's own policy")
    begin.add_argument("--replace", action="store_true", help="abort the one that is under way")
    begin.add_argument("--reason", default="", metavar="WORDS", help="for the audit log")
    show = verb("status", status, "Where a rollout stands, and why.", under)
    show.add_argument("--watch", action="store_true", help="follow it to its end; exit status 0 where it succeeds")
    for name, words in _COMMANDS.items():
        verb(name, act(name), words, under).add_argument("--reason", default="", metavar="WORDS", help="for the log")
    past = verb("history", history, "All rollouts, and the audit log with its chain verified.", under)
    past.add_argument("--limit", type=_limit, default=50, metavar="N", help="entries (default: %(default)s)")
    for name in ("status", "history", *_COMMANDS):
        under.choices[name].add_argument("id", nargs="?", metavar="ID", help="default: under way, or newest")


def _add_flag(under: Any, verb: Verb, run: Run) -> None:
    verb("list", lambda a: run("rollouts", "flags", a.home), "Every flag.", under)
    words = "Set kill_switch, freeze or enabled.MODEL; traffic has followed when it returns."
    setting = verb(
        "set", lambda a: run("rollouts", "set_flag", a.home, a.name, on=a.to == "on", reason=a.reason), words, under
    )
    setting.add_argument("name", metavar="NAME", help="kill_switch, freeze or enabled.MODEL")
    setting.add_argument("to", choices=["on", "off"], metavar="on|off")
    setting.add_argument("--reason", required=True, metavar="WORDS", help="for the audit log")


def _add_token(under: Any, verb: Verb, run: Run) -> None:
    def create(a: argparse.Namespace) -> dict[str, Any]:
        return run("rollouts", "create_token", a.home, a.name, role=a.role, days=a.days)

    making = verb("create", create, "Make a token and show it, this once: only its hash is kept.", under)
    making.add_argument("name", metavar="NAME", help="who or what will hold it; the actor of the audit log")
    making.add_argument("--role", choices=ROLES, required=True, help="viewer reads, operator acts, admin sets flags")
    making.add_argument("--days", type=positive, default=90, metavar="N", help="it is good for (default: %(default)s)")
    verb("list", lambda a: run("rollouts", "tokens", a.home), "Every token, without its secret.", under)
    ending = verb(
        "revoke", lambda a: run("rollouts", "revoke_token", a.home, a.name, reason=a.reason), "End a token.", under
    )
    ending.add_argument("name", metavar="NAME")
    ending.add_argument("--reason", default="", metavar="WORDS", help="for the audit log")


def _told(a: argparse.Namespace, found: dict[str, Any]) -> dict[str, Any]:
    """Say to a person what no controller means."""
    if a.json or found.get("controller", "") is not None:
        return found
    return found | {"controller": "none runs: nothing moves on by itself until `tandem up`"}


def _for_people(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("seq", "at", "actor", "action", "subject", "reason")}


def _limit(text: str) -> int:
    value = positive(text)
    if value > _LONGEST_HISTORY:
        raise argparse.ArgumentTypeError(f"{value} is over {_LONGEST_HISTORY}")
    return value
