"""A FastAPI model server that asks `feast serve` for features: two steps, two servers."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from eta_messages import Answer, Request
from fastapi import FastAPI
from feast_trips import FEATURES, columns, entities
from onnx_model import Model
from trips import answer

model = Model()
client = httpx.AsyncClient(base_url=os.environ["BENCH_FEATURE_SERVER"], timeout=30)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connections to the feature server with the application."""
    async with client:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/v1/eta")
async def eta(request: Request) -> Answer:
    """Ask for features, run the model."""
    trips = request.resolved()
    wanted = {"features": FEATURES, "entities": entities(trips), "full_feature_names": True}
    response = await client.post("/get-online-features", json=wanted)
    document = response.raise_for_status().json()
    names, results = document["metadata"]["feature_names"], document["results"]
    values = {name: result["values"] for name, result in zip(names, results, strict=True)}
    return Answer(**answer(model.run(trips.vectors(columns(values)))))
