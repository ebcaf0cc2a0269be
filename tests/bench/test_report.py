"""Tables, plot and page from results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.report import between, render, write
from bench.serving import summary


def _turn(p99_ms: float, highest: float, errors: dict[str, int] | None = None) -> dict[str, Any]:
    outcome = {"rate": 50, "errors": errors or {}, "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": p99_ms, "late_p99_ms": 0.1}
    step = {"size": 1, "outcome": outcome, "cpu_s_per_1000": 0.2}
    return {"ready_s": 1.5, "memory_mib": 64.0, "steps": [step], "highest": {"1": highest}}


def _result() -> dict[str, Any]:
    fixed = {"table": "A", "settings": "defaults", "source": "its guide", "versions": {"tool": "1.0"}}
    turns = [_turn(3.0, 900), _turn(30.0, 1000), _turn(4.0, 1100, {"timeout": 2})]
    return {
        "suite": "serving",
        "at": "2026-01-01T00:00:00+00:00",
        "took_s": 60,
        "machine": {"cpu": "x", "cpus": 2, "system": "Linux", "python": "3.11", "load_before": 0.0},
        "plan": {"turns": 3, "sizes": [1], "rates": [50, 200], "server_cpus": [0, 1], "generator_cpu": 0},
        "model": {"file": "eta@1", "bytes": 1000, "width": 40},
        "distinct_items": 12000,
        "rows": [
            {**fixed, "name": "Fast", "status": "ok", "turns": turns, "median": summary(turns)},
            {**fixed, "name": "Gone", "status": "NotInstalled: no wheel", "turns": [], "median": {}},
        ],
    }


def test_medians_are_over_turns_and_failures_add_up() -> None:
    """One bad turn moves no median, and hides no failure."""
    median = summary(_result()["rows"][0]["turns"])
    assert median["highest"] == {"1": 1000}
    assert median["steps"][0]["p99_ms"] == 4.0
    assert median["steps"][0]["failed"] == 2


def test_a_tool_without_figures_is_a_row_that_says_why() -> None:
    """The tables name every row, with the reason where there is nothing else."""
    text = render(_result())
    assert "| Fast | 1,000/s | - | 64 | 1.5 |" in text
    assert "| Gone | NotInstalled: no wheel | - | - | - |" in text
    assert "| Fast | 1.00 / 2.00 / 4.00, 2 failed | - |" in text


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    """A page keeps its own words, however often it is written; a suite without a result keeps what stands there."""
    page, results = tmp_path / "performance.md", tmp_path / "results"
    results.mkdir()
    (results / "serving.json").write_text(json.dumps(_result()))
    kept = "<!-- bench: memory -->\nkept\n<!-- bench: end of memory -->"
    page.write_text(
        f"# Performance\n\n<!-- bench: serving -->\nold\n<!-- bench: end of serving -->\n\n{kept}\n\nAfter.\n"
        "\n<!-- bench: acceptance -->\n<!-- bench: end of acceptance -->\n\nEnd.\n"
    )
    write(results, page)
    first = page.read_text()
    write(results, page)
    assert page.read_text() == first
    assert first.startswith("# Performance\n")
    assert first.endswith("\n\nEnd.\n")
    assert kept in first
    assert "old" not in first
    assert "| A, 1 trip a request: of the limit | ≥ 0.8 x | not measured | not measured |" in first
    assert (tmp_path / "performance.svg").read_text().count("<svg") == 1


def test_a_page_without_markers_gets_the_tables_at_its_end() -> None:
    """The first run needs no preparation."""
    assert between("# Words\n", "x", "BODY") == "# Words\n\n<!-- bench: x -->\n\nBODY\n\n<!-- bench: end of x -->\n"
