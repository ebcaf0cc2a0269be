"""FastAPI with Feast's SDK in the process: `get_online_features` in one call, as its documentation shows."""

import os

from eta_messages import Answer, Request
from fastapi import FastAPI
from feast import FeatureStore
from feast_trips import FEATURES, columns, entities
from onnx_model import Model
from trips import answer

app = FastAPI()
model = Model()
store = FeatureStore(repo_path=os.environ["BENCH_FEAST"])


@app.post("/v1/eta")
def eta(request: Request) -> Answer:
    """Read features, run the model; `def`, since Feast's call blocks."""
    trips = request.resolved()
    found = store.get_online_features(features=FEATURES, entity_rows=entities(trips), full_feature_names=True)
    return Answer(**answer(model.run(trips.vectors(columns(found.to_dict())))))
