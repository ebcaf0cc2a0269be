"""The verbs `tandem drift` and `tandem retrain` on the command line, and what they say to a person."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pipelines.arguments import positive

_SHOWN: Final = 12
_PICTURES: Final = (".png", ".svg", ".pdf")


def add(verb: Callable[..., argparse.ArgumentParser], run: Callable[..., dict[str, Any]]) -> None:
    """Add the verbs by the command line's own helpers."""

    def drift(a: argparse.Namespace) -> dict[str, Any]:
        found = run("drift", "drift", a.home, a.reference, a.current, version=a.version, plot=a.plot)
        return found if a.json else for_person(found)

    parser = verb("drift", drift, "What moved between two sets of trips, and what it may cost the version that serves.")
    parser.add_argument(
        "--reference", type=Path, required=True, metavar="A", help="trips as they were, or a part of the prediction log"
    )
    parser.add_argument("--current", type=Path, required=True, metavar="B", help="trips as they are")
    parser.add_argument("--version", type=positive, metavar="N", help="whose answers to watch (default: the champion)")
    parser.add_argument("--plot", type=_picture, metavar="FILE", help=f"a picture: {', '.join(_PICTURES)}")

    def retrain(a: argparse.Namespace) -> dict[str, Any]:
        progress = sys.stderr.isatty()
        found = run("retrain", "retrain", a.home, policy_file=a.policy, dry_run=a.dry_run, progress=progress)
        return found if a.json else _decision(found)

    again = verb("retrain", retrain, "Train a candidate where schedule, drift or error ask for it; made for a timer.")
    again.add_argument("--policy", type=Path, metavar="FILE", help="YAML (default: docs/drift.md)")
    again.add_argument("--dry-run", action="store_true", help="say what would be done, and remember nothing")


def for_person(found: dict[str, Any]) -> dict[str, Any]:
    """The result with what moved as a table, the farthest first; where nothing did, what came nearest."""
    columns: dict[str, dict[str, Any]] = found["columns"]
    moved = found["moved"]
    shown = moved or [name for name in columns if name not in found["unjudged"]][:_SHOWN]
    title = "moved" if moved else "nothing moved; the farthest are"
    result = {side: found[side] for side in ("reference", "current")}
    result["summary"] = f"{len(moved)} of {len(columns)} columns moved" + (
        f"; {len(found['unjudged'])} can't be told from chance on so few days" if found["unjudged"] else ""
    )
    result[title] = {name: _row(columns[name]) for name in shown}
    result["error"] = _error(found["error"])
    return result | ({"plot": found["plot"]} if "plot" in found else {})


def _row(column: dict[str, Any]) -> dict[str, Any]:
    wasserstein = column["wasserstein"]
    return {
        "kind": column["kind"],
        "what": column["what"],
        "from": _number(column["before"]),
        "to": _number(column["after"]),
        "PSI": f"{column['psi']:.3f}",
        "by chance": "-" if column["chance"] is None else f"{column['chance']:.3f}",
        "JS": f"{column['js']:.3f}",
        "W/sigma": "-" if wasserstein is None else f"{wasserstein:.2f}",
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - readable digits


def _error(error: dict[str, Any]) -> dict[str, Any]:
    if not error["judged"]:
        return {"not judged": error["why"]}
    interval = f"{error['estimated_low_s']:.1f} to {error['estimated_high_s']:.1f} s"
    told = "none yet"
    if error["mae_s"] is not None:
        inside = "inside" if error["inside"] else "outside"
        told = f"{error['mae_s']:.1f} s, {inside} the interval; estimated {error['estimate_off']:+.1%} off"
    return {
        "model": f"{error['model']}, learned from trips up to {error['learned_up_to']}",
        "MAE on the reference": f"{error['reference_mae_s']:.1f} s",
        "estimated now, without labels": f"{error['estimated_mae_s']:.1f} s ({interval})",
        "by the labels": told,
    }


def _decision(found: dict[str, Any]) -> dict[str, Any]:
    if "candidate" not in found:
        return found
    candidate = found["candidate"]
    return {**found, "candidate": {name: candidate[name] for name in ("model", "alias", "comparison", "serves")}}


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in _PICTURES:
        raise argparse.ArgumentTypeError(f"{text} ends in {path.suffix or 'nothing'}, expected {', '.join(_PICTURES)}")
    return path
