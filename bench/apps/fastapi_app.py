"""FastAPI with pydantic models in and out."""

from fastapi import FastAPI
from onnx_model import Model
from pydantic import BaseModel

app = FastAPI()
model = Model()


class Request(BaseModel):
    """Vectors, one a trip."""

    features: list[list[float]]


class Answer(BaseModel):
    """Seconds, one of each a trip."""

    eta_s: list[float]
    low_s: list[float]
    high_s: list[float]


@app.post("/predict")
async def predict(request: Request) -> Answer:
    """Run the model on the event loop: it is done before a thread would have woken."""
    eta, low, high = model.run(request.features)
    return Answer(eta_s=eta[:, 0].tolist(), low_s=low[:, 0].tolist(), high_s=high[:, 0].tolist())
