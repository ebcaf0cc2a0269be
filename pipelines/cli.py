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

from contracts.errors import InvalidInput, TandemError
from pipelines import drift_verbs
from pipelines.report import render

MAX_SEED = 2**31 - 1  # LightGBM's
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
    print(json.dumps(result, default=str) if arguments.json else render(result))
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

    data = verbs.add_parser("data", help="bring trips in").add_subparsers(required=True, metavar="SOURCE")
    sample = verb("sample", _sample, "Draw Manhattan trips from the real demand and speeds of 2018.", data)
    sample.add_argument("--trips", type=_positive, default=500_000, help="about how many (default: %(default)s)")
    sample.add_argument("--weeks", type=_positive, default=6, help="over how many weeks (default: %(default)s)")
    sample.add_argument("--start", type=_monday, help="first day, a Monday (default: a fixed one)")
    sample.add_argument("--seed", type=_seed, default=7, help="same seed, same bytes (default: %(default)s)")
    tlc = verb("tlc", _tlc, "Bring in official NYC TLC trip records, cleaned by stated rules.", data)
    tlc.add_argument("--from", dest="source", required=True, metavar="DIR_OR_URL", help="where the monthly files are")
    tlc.add_argument("--months", type=_months, required=True, metavar="A..B", help="such as 2020-08..2021-01")
    tlc.add_argument("--colour", choices=["green", "yellow"], action="append", help="default: green")
    tlc.add_argument("--zones", metavar="FILE", help="LocationID, zone, borough, lon, lat as CSV")

    train = verb("train", _train, "Train both tiers on the trips and register a version.")
    train.add_argument("--source", type=Path, metavar="FILE", help="a trips file (default: what `tandem data` wrote)")
    train.add_argument(
        "--test-from", type=date.fromisoformat, metavar="DATE", help="trips from this local day on are the test"
    )
    train.add_argument("--seed", type=_seed, default=7, help="same seed, same model (default: %(default)s)")
    train.add_argument(
        "--without-champion", metavar="REASON", help="let a candidate through that can't be held against the champion"
    )

    evaluate = verb("evaluate", _evaluate, "Errors of a published version on a trips file, by slice.")
    evaluate.add_argument("--version", type=_positive, required=True, metavar="N")
    evaluate.add_argument("--trips", type=Path, required=True, metavar="FILE", help="ours or the TLC's Parquet")

    drift_verbs.add(verb, _run)

    publish = verb("publish", _publish, "Verify a registered version and put it into the artifact store.")
    publish.add_argument("--version", type=_positive, required=True, metavar="N")

    replay = verb("replay", _replay, "Answer one logged request again and compare.")
    again = replay.add_mutually_exclusive_group(required=True)
    again.add_argument("--request", metavar="ID", help="the request_id of an answer")
    replay.add_argument(
        "--version", type=_positive, metavar="N", help="by this version (default: the one that answered)"
    )

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


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value <= MAX_SEED:
        raise argparse.ArgumentTypeError(f"{value} is not from 0 to {MAX_SEED}")
    return value


def _monday(text: str) -> date:
    day = date.fromisoformat(text)
    if day.weekday() != 0:
        raise argparse.ArgumentTypeError(f"{day} is a {day:%A}, not a Monday")
    return day


def _months(text: str) -> str:
    first, span, last = text.partition("..")
    try:
        in_order = date.fromisoformat(f"{first}-01") <= date.fromisoformat(f"{last if span else first}-01")
    except ValueError:
        in_order = False
    if not in_order:
        raise argparse.ArgumentTypeError(f"{text!r} is not YYYY-MM or YYYY-MM..YYYY-MM with the earlier month first")
    return text


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
    return _run(
        "train",
        "train",
        a.home,
        trips=a.source,
        test_from=a.test_from,
        seed=a.seed,
        without_champion=a.without_champion,
        progress=_progress(),
    )


def _evaluate(a: argparse.Namespace) -> dict[str, Any]:
    return _run("evaluate", "evaluate", a.home, version=a.version, trips=a.trips)


def _publish(a: argparse.Namespace) -> dict[str, Any]:
    return _run("publish", "publish", a.home, a.version)


def _replay(a: argparse.Namespace) -> dict[str, Any]:
    return _run("replay", "replay_request", a.home, a.request, version=a.version)


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
    if home.exists() and not home.is_dir():
        raise InvalidInput("home", f"{home} is a file, expected a folder (--home, TANDEM_HOME)")
    result: dict[str, Any] = getattr(_pipeline(module), function)(home.resolve(), *args, **kwargs)
    return result


if __name__ == "__main__":
    sys.exit(main())
