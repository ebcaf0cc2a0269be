"""Results as a markdown page and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import plot

BEGIN, END = "<!-- bench: generated -->", "<!-- bench: end -->"
TITLES = {"A": "Table A: features in the request", "B": "Table B: features from Valkey"}
NONE = "-"


def write(result: dict[str, Any], page: Path | None) -> str:
    """Return the tables in markdown; with a page, put them between its markers and the plot beside it."""
    text = render(result)
    if page is not None:
        picture = page.parent / "performance.svg"
        plot.draw(result, picture)
        body = f"{BEGIN}\n\n![Highest rate and latency of every row]({picture.name})\n\n{text}\n{END}"
        page.write_text(between(page.read_text(encoding="utf-8") if page.exists() else "", body), encoding="utf-8")
    return text


def between(page: str, body: str) -> str:
    """Return the page with what stands between the markers replaced, or with the body appended."""
    head, begin, rest = page.partition(BEGIN)
    if not begin:
        return f"{page.rstrip()}\n\n{body}\n".lstrip()
    return head + body + rest.partition(END)[2]


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
    lines = ["A dash is a rate that was not run because a lower one had already failed. Versions and settings:", ""]
    for row in rows:
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        lines.append(f"- **{row['name']}** ({versions}): {row['settings']}. {row['source']}.")
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
