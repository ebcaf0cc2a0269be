"""FastAPI with Feast's SDK in the process."""

from __future__ import annotations

from collections.abc import Mapping

from bench.rows.protocol import APPS, PROJECT, Row, Site
from bench.rows.uvicorn import uvicorn
from bench.wire import EtaTrips


def variables(site: Site) -> Mapping[str, str]:
    """Where the Feast repository is."""
    return {"BENCH_FEAST": str(site.feast), "PYTHONPATH": str(PROJECT), "FEAST_USAGE": "False"}


ROW = Row(
    name="FastAPI + Feast SDK",
    table="B",
    wire=EtaTrips(),
    command=uvicorn("feast_sdk", APPS),
    packages=("feast", "fastapi", "uvicorn", "redis"),
    settings="one get_online_features call a request, SQL registry cached for 60 s, `def` endpoint on the thread pool",
    source="Feast, Online Server Performance Tuning: registry; FastAPI, Concurrency and async / await",
    variables=variables,
)
