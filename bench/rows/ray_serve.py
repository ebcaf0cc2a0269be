"""Ray Serve as its quick start has it: a Starlette deployment behind the default Python proxy."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from bench.rows.protocol import APPS, Row, Site
from bench.wire import NamedRows


def command(site: Site) -> list[str]:
    """`serve run` of its command line takes no port, so the application starts Serve itself."""
    return [str(site.bin / "python"), str(APPS / "ray_app.py"), str(site.port)]


def variables(_: Site) -> Mapping[str, str]:
    """No usage report; and time for the proxy to start, which Serve otherwise gives up on a busy machine."""
    return {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120"}


ROW = Row(
    name="Ray Serve quick start",
    table="A",
    wire=NamedRows("/"),
    command=command,
    packages=("ray",),
    settings="one replica, `__call__` with a Starlette request, the default proxy and defaults throughout",
    source="Ray Serve, Getting Started: Converting a Ray Serve Application",
    variables=variables,
    stop_signal=signal.SIGINT,
    ready_s=240,
)
