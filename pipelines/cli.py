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
from pipelines import dispatch_verbs, drift_verbs
from pipelines.report import render
from pipelines.rollout_verbs import add as add_rollouts

MAX_SEED = 2**31 - 1  # LightGBM's
MAX_SECONDS = 1e6
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

    train.add_argument(
        "--requests", type=Path, metavar="FILE", help="requests; those that never became trips are learned from, too"
    )
    train.add_argument("--no-distill", action="store_true", help="hard labels alone: no teachers, no `tandem label`")

    label = verb("label", _label, "Label requests in bulk with a version's teachers; run again, it goes on.")
    label.add_argument("--requests", type=Path, required=True, metavar="FILE", help="Parquet of requests, or of trips")
    label.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for the parts")
    label.add_argument("--version", type=_positive, metavar="N", help="whose teachers (default: the champion's)")
    label.add_argument("--workers", type=_positive, metavar="N", help="at once (default: one a processor)")
    label.add_argument(
        "--engine", choices=["threads", "ray"], default="threads", help="ray: Ray Data, also on RAY_ADDRESS's cluster"
    )
    label.add_argument(
        "--part-rows", type=_positive, metavar="N", default=65_536, help="requests a part (default: %(default)s)"
    )

    evaluate = verb("evaluate", _evaluate, "Errors of a published version on a trips file, by slice.")
    evaluate.add_argument("--version", type=_positive, required=True, metavar="N")
    evaluate.add_argument("--trips", type=Path, required=True, metavar="FILE", help="ours or the TLC's Parquet")

    drift_verbs.add(verb, _run)

    publish = verb("publish", _publish, "Verify a registered version and put it into the artifact store.")
    publish.add_argument("--version", type=_positive, required=True, metavar="N")

    replay = verb("replay", _replay, "Answer one logged request again and compare; or send recorded traffic.")
    again = replay.add_mutually_exclusive_group(required=True)
    again.add_argument("--request", metavar="ID", help="the request_id of an answer")
    again.add_argument("--trips", type=Path, metavar="FILE", help="recorded trips, with their outcomes and ends")
    replay.add_argument(
        "--version", type=_positive, metavar="N", help="a request by this version (default: the one that answered)"
    )
    replay.add_argument("--rate", type=_rate, default=1.0, metavar="Nx", help="trips at so many times the peak")
    replay.add_argument(
        "--peak",
        type=_seconds,
        default=300.0,
        metavar="PER_S",
        help="requests/s of the recording's busiest quarter of an hour at 1x (default: %(default)g)",
    )
    replay.add_argument("--for", type=_seconds, dest="seconds", metavar="S", help="stop asking after so many seconds")
    replay.add_argument("--wait", action="store_true", help="stay until the last trip has ended, up to 2 h more")

    experiment = verbs.add_parser("experiment", help="read out A/B tests").add_subparsers(required=True, metavar="WHAT")
    read_out = verb("report", _experiment_report, "What a rollout's shadow, canary or A/B test showed.", experiment)
    read_out.add_argument("name", metavar="NAME", help="of the rollout, such as eta-3")
    read_out.add_argument("--html", type=Path, metavar="FILE", help="write a page with a plot, too")

    sized = verb("plan", _experiment_plan, "How many units and days an A/B test needs here.", experiment)
    sized.add_argument("--metric", default="abs_error_s", help="of the A/B step (default: %(default)s)")
    sized.add_argument("--change", type=float, required=True, metavar="PERCENT", help="to be found, such as -3")
    sized.add_argument("--split", type=float, default=50.0, metavar="PERCENT", help="the candidate's (default: 50)")
    sized.add_argument("--power", type=float, default=0.8, help="chance to find it (default: %(default)s)")
    sized.add_argument("--days", type=float, default=7.0, help="of the past to learn from (default: 7, and 7 before)")

    experiment = verbs.add_parser("experiment", help="read out A/B tests").add_subparsers(required=True, metavar="WHAT")
    read_out = verb("report", _experiment_report, "What a rollout's shadow, canary or A/B test showed.", experiment)
    read_out.add_argument("name", metavar="NAME", help="of the rollout, such as eta-3")
    read_out.add_argument("--html", type=Path, metavar="FILE", help="write a page with a plot, too")

    sized = verb("plan", _experiment_plan, "How many units and days an A/B test needs here.", experiment)
    sized.add_argument("--metric", default="abs_error_s", help="of the A/B step (default: %(default)s)")
    sized.add_argument("--change", type=float, required=True, metavar="PERCENT", help="to be found, such as -3")
    sized.add_argument("--split", type=float, default=50.0, metavar="PERCENT", help="the candidate's (default: 50)")
    sized.add_argument("--power", type=float, default=0.8, help="chance to find it (default: %(default)s)")
    sized.add_argument("--days", type=float, default=7.0, help="of the past to learn from (default: 7, and 7 before)")

    up = verb("up", _up, "Start the serving stack; on a fresh machine bring trips in and train first.")
    up.add_argument("--foreground", action="store_true", help="stay in the terminal; Ctrl-C stops the stack")
    verb("down", _down, "Stop what `tandem up` started, and only that.")
    verb("status", _status, "What runs, which version, at which addresses.")
    add_rollouts(verbs, verb, _run)
    verb("doctor", _doctor, "Check the installation and say what to mend.")
    dispatch_verbs.add(verbs, verb, _run)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text} is not over 0 and up to {MAX_SECONDS:g}")
    return value


def _rate(text: str) -> float:
    return _seconds(text.removesuffix("x"))


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
    params = {"distill.folds": 0} if a.no_distill else {}
    return _run(
        "train",
        "train",
        a.home,
        trips=a.source,
        test_from=a.test_from,
        requests=a.requests,
        seed=a.seed,
        params=params,
        without_champion=a.without_champion,
        progress=_progress(),
    )


def _label(a: argparse.Namespace) -> dict[str, Any]:
    return _run(
        "label",
        "label",
        a.home,
        a.requests,
        a.out,
        version=a.version,
        part_rows=a.part_rows,
        workers=a.workers,
        engine=a.engine,
        progress=_progress(),
    )


def _evaluate(a: argparse.Namespace) -> dict[str, Any]:
    return _run("evaluate", "evaluate", a.home, version=a.version, trips=a.trips)


def _publish(a: argparse.Namespace) -> dict[str, Any]:
    return _run("publish", "publish", a.home, a.version)


def _replay(a: argparse.Namespace) -> dict[str, Any]:
    if a.request is not None:
        return _run("replay", "replay_request", a.home, a.request, version=a.version)
    how = {"rate": a.rate, "peak": a.peak, "seconds": a.seconds, "wait": a.wait}
    return _run("replay_trips", "replay_trips", a.home, a.trips, **how, progress=_progress())


def _experiment_report(a: argparse.Namespace) -> dict[str, Any]:
    result = _run("experiment", "report", a.home, a.name, html=a.html)
    if a.json:
        result.pop("text", None)
    return result


def _experiment_plan(a: argparse.Namespace) -> dict[str, Any]:
    words = {name: getattr(a, name) for name in ("metric", "change", "split", "power", "days")}
    return _run("experiment_plan", "plan_test", a.home, **words)


def _experiment_report(a: argparse.Namespace) -> dict[str, Any]:
    result = _run("experiment", "report", a.home, a.name, html=a.html)
    if a.json:
        result.pop("text", None)
    return result


def _experiment_plan(a: argparse.Namespace) -> dict[str, Any]:
    words = {name: getattr(a, name) for name in ("metric", "change", "split", "power", "days")}
    return _run("experiment_plan", "plan_test", a.home, **words)


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
