"""LitServe: decode, predict, encode."""

import sys
from typing import Any

import litserve
from onnx_model import Model


class Eta(litserve.LitAPI):
    """Vectors in, seconds out."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - its interface
        """Load the model in the worker."""
        self.model = Model()

    def decode_request(self, request: dict[str, Any]) -> list[list[float]]:
        """Take the vectors out of the document."""
        return request["features"]

    def predict(self, x: list[list[float]]) -> Any:
        """Run the model."""
        return self.model.run(x)

    def encode_response(self, output: Any) -> dict[str, list[float]]:
        """Make lists."""
        eta, low, high = output
        return {"eta_s": eta[:, 0].tolist(), "low_s": low[:, 0].tolist(), "high_s": high[:, 0].tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Eta(), accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
