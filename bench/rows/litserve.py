"""LitServe."""

from __future__ import annotations

from bench.rows.protocol import APPS, Row, Site
from bench.wire import NamedRows


def command(site: Site) -> list[str]:
    """The server is a script, as its documentation shows."""
    return [str(site.bin / "python"), str(APPS / "litserve_app.py"), str(site.port)]


ROW = Row(
    name="LitServe",
    table="A",
    wire=NamedRows("/predict"),
    command=command,
    packages=("litserve",),
    settings="one API server, one worker, fast_queue, no batching, log level warning",
    source="LitServe, API reference: LitServer; Features: Autoscaling",
    peer="litserve",
)
