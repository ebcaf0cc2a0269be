"""FastAPI on uvicorn, with onnxruntime in the process."""

from bench.rows.protocol import APPS, Row
from bench.rows.uvicorn import uvicorn
from bench.wire import NamedRows

ROW = Row(
    name="FastAPI + uvicorn",
    table="A",
    wire=NamedRows("/predict"),
    command=uvicorn("fastapi_app", APPS),
    packages=("fastapi", "uvicorn", "pydantic"),
    settings="pydantic models in and out, `async def` (faster here than the thread pool), uvloop, no access log",
    source="FastAPI, Deployment: Server Workers; uvicorn, Settings: Implementation, Logging",
)
