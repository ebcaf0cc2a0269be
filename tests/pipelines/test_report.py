"""A result as a person reads it."""

from __future__ import annotations

from pipelines.report import render


def test_scalars_line_up() -> None:
    """Keys are padded, numbers are grouped, truth is yes or no."""
    assert render({"a": 1234567, "long": True, "none": None}) == "a     1,234,567\nlong  yes\nnone  -"


def test_equal_keyed_mappings_become_a_table() -> None:
    """One row a name, numbers to the right."""
    text = render({"metrics": {"student": {"mae_s": 1.5, "n": 10}, "teacher": {"mae_s": 1.25, "n": 10}}})
    assert text.splitlines()[1:] == [
        "metrics",
        "           mae_s   n",
        "  student    1.5  10",
        "  teacher   1.25  10",
    ]


def test_nested_mappings_are_indented() -> None:
    """A mapping that is no table stands below its name."""
    assert render({"trips": {"rows": 3, "path": "x"}}) == "trips\n  rows  3\n  path  x"
