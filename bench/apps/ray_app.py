"""Ray Serve: a deployment with a Starlette request; BENCH_TUNED adds what the performance guide recommends."""

import os
import pathlib
import signal
import sys

from ray import serve
from starlette.requests import Request

TUNED = (
    {"max_ongoing_requests": 100, "logging_config": {"enable_access_log": False}} if "BENCH_TUNED" in os.environ else {}
)


@serve.deployment(**TUNED)
class Eta:
    """One replica with the session in it."""

    def __init__(self, folder: str) -> None:
        sys.path.insert(0, folder)
        from onnx_model import Model  # noqa: PLC0415 - the replica has its own sys.path

        self.model = Model()

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        """Answer vectors with seconds."""
        eta, low, high = self.model.run((await request.json())["features"])
        return {"eta_s": eta[:, 0].tolist(), "low_s": low[:, 0].tolist(), "high_s": high[:, 0].tolist()}


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Eta.bind(str(pathlib.Path(__file__).parent)))
    signal.pause()
