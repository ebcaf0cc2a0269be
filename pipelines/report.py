"""A verb's result for a person: nested dictionaries as indented lines, tables as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def render(result: Mapping[str, Any], indent: str = "") -> str:
    """Lines of ``key  value``; a mapping of equal-keyed mappings, or a list of them, becomes a table."""
    lines: list[str] = []
    width = max((len(str(key)) for key, value in result.items() if not _nested(value)), default=0)
    for key, value in result.items():
        if _is_table(value):
            lines += ["", f"{indent}{key}", *_table(_rows(value), indent + "  ")]
        elif isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}", render(value, indent + "  ")]
        else:
            lines.append(f"{indent}{str(key).ljust(width)}  {_cell(value)}")
    return "\n".join(lines)


def _nested(value: Any) -> bool:
    return _is_table(value) or (isinstance(value, Mapping) and bool(value))


def _is_table(value: Any) -> bool:
    rows = list(value.values()) if isinstance(value, Mapping) else value
    return (
        isinstance(rows, Sequence)
        and not isinstance(rows, str)
        and len(rows) > 0
        and all(isinstance(row, Mapping) and row.keys() == rows[0].keys() for row in rows)
        and not any(isinstance(cell, Mapping) for row in rows for cell in row.values())
    )


def _rows(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, Mapping):
        return [{"": name, **row} for name, row in value.items()]
    return [dict(row) for row in value]


def _table(rows: list[dict[str, Any]], indent: str) -> list[str]:
    header = list(rows[0])
    cells = [header, *([_cell(row[name]) for name in header] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    right = [all(isinstance(row[name], int | float) for row in rows) for name in header]
    return [
        (
            indent
            + "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            )
        ).rstrip()
        for line in cells
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"  # noqa: PLR2004 - readable digits
    if isinstance(value, int):
        return f"{value:,}"
    if value is None:
        return "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_cell(item) for item in value) or "-"
    return str(value)
