"""The limit of table B: one pipelined read and the model, on uvicorn."""

from __future__ import annotations

from collections.abc import Mapping

from bench.rows.protocol import APPS, PROJECT, Row, Site
from bench.rows.uvicorn import uvicorn
from bench.wire import EtaTrips


def variables(site: Site) -> Mapping[str, str]:
    """Where Valkey is; the contract's transforms come from the project."""
    return {"BENCH_REDIS": site.redis_url, "PYTHONPATH": str(PROJECT)}


ROW = Row(
    name="Limit: raw ASGI, one pipelined read",
    table="B",
    wire=EtaTrips(),
    command=uvicorn("raw_features", APPS),
    packages=("uvicorn", "msgspec", "hiredis"),
    settings="an ASGI function on uvicorn (uvloop, httptools), msgspec; one HMGET a distinct key, all in one write",
    source="uvicorn, Settings: Implementation",
    variables=variables,
)
