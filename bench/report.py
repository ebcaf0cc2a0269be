"""Results as a markdown page and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import acceptance, plot, promises, serving
from bench.acceptance import Line
from bench.registry import SUITES

TITLES = {"A": "Table A: features in the request", "B": "Table B: features from Valkey"}
NONE = "-"


def write(results: Path, page: Path) -> None:
    """Put every suite's results between its markers, the plot beside the page, and all acceptance lines at the top.

    A suite with a document of its own is told there.
    """
    found = {name: _read(results / f"{name}.json") for name in (*SUITES, serving.NAME)}
    lines = [line for name, result in found.items() if result for line in lines_of(name, result)]
    texts = {page: between(_text(page), "acceptance", acceptance.table(lines))}
    for name, result in found.items():
        if result is None:
            continue
        place, body = page, text_of(result)
        if name == serving.NAME:
            picture = page.parent / "performance.svg"
            plot.draw(result, picture)
            body = f"![Highest rate and latency of every row]({picture.name})\n\n{body}"
        elif SUITES[name].document != page.name:
            place = page.parent / SUITES[name].document
        texts[place] = between(texts[place] if place in texts else _text(place), name, body)
    for place, text in texts.items():
        place.write_text(text, encoding="utf-8")


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.exists() else ""


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def lines_of(name: str, result: dict[str, Any]) -> Sequence[Line]:
    """The acceptance lines of a suite's result."""
    return promises.lines(result) if name == serving.NAME else SUITES[name].lines(result)


def text_of(result: dict[str, Any]) -> str:
    """Tell one suite's result in markdown: conditions, acceptance lines, tables."""
    name = result["suite"]
    lines = lines_of(name, result)
    judged = [acceptance.table(lines)] if lines else []
    if name == serving.NAME:
        return "\n\n".join([*judged, render(result)])
    machine, suite = result["machine"], SUITES[name]
    short = "**Preliminary: short steps.** " if result["quick"] else ""
    where = (
        f"{short}{result['at']}, {result['took_s'] / 60:.1f} minutes, {machine['cpus']} CPUs ({machine['cpu']}), load "
        f"{machine['load_before']:.2f} before. Model: {result['model']['file']} ({result['model']['bytes']:,} bytes)."
    )
    return "\n\n".join([where, *judged, suite.page(result)]) + "\n"


def between(page: str, name: str, body: str) -> str:
    """Return the page with what stands between a suite's markers replaced, or with it appended."""
    begin, end = f"<!-- bench: {name} -->", f"<!-- bench: end of {name} -->"
    block = f"{begin}\n\n{body.strip()}\n\n{end}"
    head, found, rest = page.partition(begin)
    if not found:
        return f"{page.rstrip()}\n\n{block}\n".lstrip()
    return head + block + rest.partition(end)[2]


def render(result: dict[str, Any]) -> str:
    """Return all tables, with what they were measured on."""
    parts = [_conditions(result)]
    for table, title in TITLES.items():
        rows = [row for row in result["rows"] if row["table"] == table]
        if rows:
            parts += [f"### {title}", _overview(rows, result), *_latencies(rows, result), _notes(rows)]
    return "\n\n".join(parts) + "\n"


def _conditions(result: dict[str, Any]) -> str:
    machine, plan, model = result["machine"], result["plan"], result["model"]
    turns = f"Median of {plan['turns']} turns" if plan["turns"] > 1 else "**Preliminary: one turn of short steps**"
    cpus = ", ".join(map(str, plan["server_cpus"]))
    return (
        f"{turns}, {result['at']}, {result['took_s'] / 60:.0f} minutes. {machine['cpus']} CPUs ({machine['cpu']}), "
        f"{machine['system']}, Python {machine['python']}, load {machine['load_before']:.2f} before. "
        f"Load generator on CPU {plan['generator_cpu']}, every server with one worker on CPU {cpus}. "
        f"Open loop, Poisson arrivals of one seed a turn, latency from the intended send time, "
        f"{result['distinct_items']:,} distinct items. "
        f"Model: {model['file']} ({model['bytes']:,} bytes, {model['width']} features), the same file for all rows; "
        f"answers were equal within 0.1 s before any time was taken."
    )


def _overview(rows: list[dict[str, Any]], result: dict[str, Any]) -> str:
    sizes = result["plan"]["sizes"]
    head = [f"highest rate, {_trips(size)} a request" for size in sizes]
    head += [f"CPU s per 1,000, {_trips(size)}" for size in sizes]
    lines = [_line(["", *head, "memory MiB", "ready s"]), _line(["---", *["---:"] * (len(head) + 2)])]
    for row in rows:
        median = row["median"]
        if not median:
            lines.append(_line([row["name"], _reason(row), *[NONE] * (len(head) + 1)]))
            continue
        highest = [f"{median['highest'][str(size)]:,.0f}/s" for size in sizes]
        cpu = [_number(_cheapest(median["steps"], size), 2) for size in sizes]
        lines.append(_line([row["name"], *highest, *cpu, f"{median['memory_mib']:.0f}", f"{median['ready_s']:.1f}"]))
    return "\n".join(lines)


def _latencies(rows: list[dict[str, Any]], result: dict[str, Any]) -> list[str]:
    """One table a request size: p50 / p95 / p99 in ms at each fixed rate, and what failed."""
    rates = result["plan"]["rates"]
    tables = []
    for size in result["plan"]["sizes"]:
        title = f"p50 / p95 / p99 ms, {_trips(size)} a request"
        lines = [_line([title, *[f"{rate}/s" for rate in rates]]), _line(["---", *["---:"] * len(rates)])]
        for row in rows:
            steps = {step["rate"]: step for step in row["median"].get("steps", []) if step["size"] == size}
            lines.append(_line([row["name"], *[_latency(steps.get(rate)) for rate in rates]]))
        tables.append("\n".join(lines))
    return tables


def _latency(step: dict[str, Any] | None) -> str:
    if step is None:
        return NONE
    figures = " / ".join(_number(step[key], 1 if step[key] >= 10 else 2) for key in ("p50_ms", "p95_ms", "p99_ms"))
    return f"{figures}, {step['failed']} failed" if step["failed"] else figures


def _notes(rows: list[dict[str, Any]]) -> str:
    words = (
        "A dash is a rate that was not run because a lower one had already failed; one that drowned a row in the first "
        "turn was not sent again. Versions, settings, and the pages of each tool's documentation that say so:"
    )
    lines = [words, ""]
    for row in rows:
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        lines.append(f"- **{row['name']}** ({versions}): {row['settings']}. By: {row['source']}.")
    return "\n".join(lines)


def _cheapest(steps: list[dict[str, Any]], size: int) -> float | None:
    """Take the CPU cost at the highest fixed rate without a failure: at low rates it is mostly idle overhead."""
    fine = [s for s in steps if s["size"] == size and not s["failed"] and s["cpu_s_per_1000"] is not None]
    return max(fine, key=lambda s: float(s["rate"]))["cpu_s_per_1000"] if fine else None


def _reason(row: dict[str, Any]) -> str:
    return " ".join(row["status"].split())[:160].replace("|", "/")


def _trips(size: int) -> str:
    return "1 trip" if size == 1 else f"{size} trips"


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:,.{digits}f}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
