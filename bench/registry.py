"""The suites of acceptance measurements by name, in the order in which they are run and shown."""

from __future__ import annotations

from bench.suite import Suite
from bench.suites import (
    adr_data_plane,
    batching,
    dispatch,
    features,
    memory,
    model_time,
    overload,
    server_time,
    store_outage,
    streams,
)

SUITES: dict[str, Suite] = {
    module.SUITE.name: module.SUITE
    for module in (
        features,
        server_time,
        model_time,
        batching,
        dispatch,
        overload,
        store_outage,
        streams,
        memory,
        adr_data_plane,
    )
}
