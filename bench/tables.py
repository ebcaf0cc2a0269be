"""The rows of both tables, in the order in which they are shown."""

from __future__ import annotations

from bench.rows import (
    bentoml,
    fastapi,
    feast_sdk,
    feast_server,
    litserve,
    mlflow,
    mlserver,
    raw_asgi,
    raw_features,
    ray_haproxy,
    ray_serve,
    tandem,
)
from bench.rows.protocol import Row

ROWS: tuple[Row, ...] = (
    tandem.TENSORS,
    raw_asgi.ROW,
    fastapi.ROW,
    mlserver.ROW,
    ray_haproxy.ROW,
    litserve.ROW,
    bentoml.ROW,
    mlflow.ROW,
    ray_serve.ROW,
    tandem.TRIPS,
    raw_features.ROW,
    feast_sdk.ROW,
    feast_server.ROW,
)
