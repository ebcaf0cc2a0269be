"""`feast serve` and a model server that asks it: two steps.

The second port is the kernel's choice like the first. The number after the first was often taken: Linux gives odd
ports to servers and even ones to clients, and a port in TIME_WAIT of a client's can't be listened on.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from bench.rows import feast_sdk
from bench.rows.protocol import APPS, Row, Site
from bench.rows.uvicorn import uvicorn
from bench.wire import EtaTrips


def variables(site: Site) -> Mapping[str, str]:
    """The feature server's address, beside what the SDK needs."""
    return {**feast_sdk.variables(site), "BENCH_FEATURE_SERVER": f"http://{site.host}:{site.aside}"}


def command(site: Site) -> list[str]:
    """Both servers, one worker each; the model server is asked to stop, and ends where the other can't start."""
    where = ["-c", str(site.feast), "serve", "-h", site.host, "-p", str(site.aside)]
    features = [str(site.bin / "feast"), *where, "--workers", "1", "--registry_ttl_sec", "60", "--max-requests", "0"]
    features.append("--no-access-log")
    model = uvicorn("feast_server", APPS)(site)
    return ["sh", "-c", f"({shlex.join(features)}; kill $$) & exec {shlex.join(model)}"]


ROW = Row(
    name="feast serve + FastAPI",
    table="B",
    wire=EtaTrips(),
    command=command,
    packages=("feast", "fastapi", "gunicorn", "httpx"),
    settings="feast serve with one worker, registry refreshed every 60 s, no access log, no recycling of "
    "workers; the model server keeps its connections",
    source="Feast, Python feature server: Performance Configuration",
    variables=variables,
)
