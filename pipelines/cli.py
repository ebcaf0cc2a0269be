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
from datetime import date
from pathlib import Path
from typing import Any

from contracts.errors import TandemError
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
        if arguments.json:
            print(json.dumps({"error": type(error).__name__, "message": str(error)}))
        else:
            print(f"tandem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tandem: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `tandem … | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    print(json.dumps(result, default=str) if arguments.json else render(result))
    return 0 if result.get("ok", True) else 1


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

    data = verbs.add_parser("data", help="bring trips in").add_subparsers(required=True, metavar="SOURCE")
    sample = verb("sample", _sample, "Draw Manhattan trips from the real demand and speeds of 2018.", data)
    sample.add_argument("--trips", type=_positive, default=500_000, help="about how many (default: %(default)s)")
    sample.add_argument("--weeks", type=_positive, default=6, help="over how many weeks (default: %(default)s)")
    sample.add_argument("--start", type=date.fromisoformat, help="first day, a Monday (default: a fixed one)")
    sample.add_argument("--seed", type=int, default=7, help="same seed, same bytes (default: %(default)s)")
    tlc = verb("tlc", _tlc, "Bring in official NYC TLC trip records, cleaned by stated rules.", data)
    tlc.add_argument("--from", dest="source", required=True, metavar="DIR_OR_URL", help="where the monthly files are")
    tlc.add_argument("--months", required=True, metavar="A..B", help="such as 2020-08..2021-01")
    tlc.add_argument("--colour", choices=["green", "yellow"], action="append", help="default: green")
    tlc.add_argument("--zones", metavar="FILE", help="LocationID, zone, borough, lon, lat as CSV")

    train = verb("train", _train, "Train both tiers on the trips and register a version.")
    train.add_argument("--source", type=Path, metavar="FILE", help="a trips file (default: what `tandem data` wrote)")
    train.add_argument(
        "--test-from", type=date.fromisoformat, metavar="DATE", help="trips from this local day on are the test"
    )
    train.add_argument("--seed", type=int, default=7)

    evaluate = verb("evaluate", _evaluate, "Errors of a published version on a trips file, by slice.")
    evaluate.add_argument("--version", type=_positive, required=True, metavar="N")
    evaluate.add_argument("--trips", type=Path, required=True, metavar="FILE", help="ours or the TLC's Parquet")

    publish = verb("publish", _publish, "Verify a registered version and put it into the artifact store.")
    publish.add_argument("--version", type=_positive, required=True, metavar="N")

    up = verb("up", _up, "Start the serving stack; on a fresh machine bring trips in and train first.")
    up.add_argument("--foreground", action="store_true", help="stay in the terminal; Ctrl-C stops the stack")
    verb("down", _down, "Stop what `tandem up` started, and only that.")
    verb("status", _status, "What runs, which version, at which addresses.")
    verb("doctor", _doctor, "Check the installation and say what to mend.")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _progress() -> bool:
    return sys.stderr.isatty()


def _pipeline(name: str) -> Any:
    """Import a pipeline when its verb runs: `tandem status` must not pay for MLflow."""
    return importlib.import_module(f"pipelines.{name}")


def _sample(a: argparse.Namespace) -> dict[str, Any]:
    when = {"start": a.start} if a.start else {}
    return _run("data", "sample", a.home, trips=a.trips, weeks=a.weeks, seed=a.seed, progress=_progress(), **when)


def _tlc(a: argparse.Namespace) -> dict[str, Any]:
    colours = tuple(dict.fromkeys(a.colour or ["green"]))
    return _run(
        "data", "tlc", a.home, source=a.source, months=a.months, zones=a.zones, colours=colours, progress=_progress()
    )


def _train(a: argparse.Namespace) -> dict[str, Any]:
    return _run("train", "train", a.home, trips=a.source, test_from=a.test_from, seed=a.seed, progress=_progress())


def _evaluate(a: argparse.Namespace) -> dict[str, Any]:
    return _run("evaluate", "evaluate", a.home, version=a.version, trips=a.trips)


def _publish(a: argparse.Namespace) -> dict[str, Any]:
    return _run("publish", "publish", a.home, a.version)


def _up(a: argparse.Namespace) -> dict[str, Any]:
    result = _run("up", "up", a.home, foreground=a.foreground, progress=_progress())
    if not a.json and "eta" in result:
        result["eta"] = json.dumps(result["eta"])  # as the service says it
    return result


def _down(a: argparse.Namespace) -> dict[str, Any]:
    return _run("up", "down", a.home)


def _status(a: argparse.Namespace) -> dict[str, Any]:
    return _run("up", "status", a.home)


def _doctor(a: argparse.Namespace) -> dict[str, Any]:
    return _run("doctor", "doctor", a.home)


def _run(module: str, function: str, home: Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
    result: dict[str, Any] = getattr(_pipeline(module), function)(home.resolve(), *args, **kwargs)
    return result


if __name__ == "__main__":
    sys.exit(main())
