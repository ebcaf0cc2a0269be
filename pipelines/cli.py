"""`tandem`: one verb a job. Results go to stdout, progress to stderr.

Exit status: 0 success, 1 an explained failure, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.errors import InvalidInput, TandemError
from pipelines import (
    data_verbs,
    dispatch_verbs,
    drift_verbs,
    experiment_verbs,
    replay_verbs,
    rollout_verbs,
    training_verbs,
)
from pipelines.report import render

Verb = Callable[[argparse.Namespace], dict[str, Any]]


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    arguments = _parser().parse_args(argv)
    # Read when LightGBM is loaded: threads that wait by spinning make training many times slower on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        result = arguments.run(arguments)
    except TandemError as error:
        return _explain(error, str(error), as_json=arguments.json)
    except KeyboardInterrupt:
        print("tandem: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `tandem … | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder that can't be written to
        place = f"{error.filename}: " if error.filename else ""
        return _explain(error, f"{place}{error.strerror or error}", as_json=arguments.json)
    print(json.dumps(result, default=str) if arguments.json else result.get("text") or render(result))
    return 0 if result.get("ok", True) else 1


def _explain(error: Exception, message: str, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": type(error).__name__, "message": message}))
    else:
        print(f"tandem: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object on stdout")
    common.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("TANDEM_HOME", ".tandem")),
        help="where data, models and state live (TANDEM_HOME; default: %(default)s)",
    )
    parser = argparse.ArgumentParser(prog="tandem", description="Serves a small model and learns from a big one.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: Verb, text: str, under: Any = verbs) -> argparse.ArgumentParser:
        child: argparse.ArgumentParser = under.add_parser(name, parents=[common], help=text, description=text)
        child.set_defaults(run=run)
        return child

    data_verbs.add(verbs, verb, _run)
    training_verbs.add(verb, _run)
    drift_verbs.add(verb, _run)

    replay_verbs.add(verb, _run)
    experiment_verbs.add(verbs, verb, _run)
    up = verb("up", _up, "Start the serving stack; on a fresh machine bring trips in and train first.")
    up.add_argument("--foreground", action="store_true", help="stay in the terminal; Ctrl-C stops the stack")
    verb("down", _down, "Stop what `tandem up` started, and only that.")
    verb("status", _status, "What runs, which version, at which addresses.")
    rollout_verbs.add(verbs, verb, _run)
    verb("doctor", _doctor, "Check the installation and say what to mend.")
    dispatch_verbs.add(verbs, verb, _run)
    return parser


def _progress() -> bool:
    return sys.stderr.isatty()


def _pipeline(name: str) -> Any:
    """Import a pipeline when its verb runs: `tandem status` must not pay for MLflow."""
    return importlib.import_module(f"pipelines.{name}")


def _up(a: argparse.Namespace) -> dict[str, Any]:
    result = _run("up", "up", a.home, foreground=a.foreground, progress=_progress())
    if not a.json and "eta" in result:
        result["eta"] = json.dumps(result["eta"])  # as the service says it
    return result


def _down(a: argparse.Namespace) -> dict[str, Any]:
    return _run("up", "down", a.home)


def _status(a: argparse.Namespace) -> dict[str, Any]:
    return _run("status", "status", a.home)


def _doctor(a: argparse.Namespace) -> dict[str, Any]:
    return _run("doctor", "doctor", a.home)


def _run(module: str, function: str, home: Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
    if home.exists() and not home.is_dir():
        raise InvalidInput("home", f"{home} is a file, expected a folder (--home, TANDEM_HOME)")
    result: dict[str, Any] = getattr(_pipeline(module), function)(home.resolve(), *args, **kwargs)
    return result


if __name__ == "__main__":
    sys.exit(main())
