"""The command of every row that uvicorn serves, so that all of them run with the same settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.rows.protocol import Site


def uvicorn(module: str, folder: Path) -> Callable[[Site], list[str]]:
    """One worker with the fast loop and parser, and no access log."""

    def command(site: Site) -> list[str]:
        where = ["--host", site.host, "--port", str(site.port), "--app-dir", str(folder)]
        engine = ["--workers", "1", "--loop", "uvloop", "--http", "httptools"]
        quiet = ["--no-access-log", "--log-level", "warning"]
        return [str(site.bin / "python"), "-m", "uvicorn", f"{module}:app", *where, *engine, *quiet]

    return command
