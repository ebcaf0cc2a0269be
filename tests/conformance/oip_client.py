"""Drives a running server by `tritonclient`, over HTTP and gRPC: a client of the protocol that we did not write.

Runs in an environment of its own (`tritonclient.lock`), since the client wants an older protobuf than Ray.
Arguments: host:port of HTTP, host:port of gRPC, width of the model's input. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException


def by_http(url: str, features: np.ndarray) -> dict[str, object]:
    """Every call of the protocol over HTTP; JSON and binary tensors."""
    with over_http.InferenceServerClient(url) as client:
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready("eta"),
            "version_ready": client.is_model_ready("eta", "1"),
            "unknown_ready": client.is_model_ready("nope"),
            "server": client.get_server_metadata()["name"],
            "inputs": client.get_model_metadata("eta")["inputs"],
        }
        for name, binary in (("json", False), ("binary", True)):
            tensor = over_http.InferInput("features", list(features.shape), "FP32")
            tensor.set_data_from_numpy(features, binary_data=binary)
            wanted = [over_http.InferRequestedOutput(output, binary_data=binary) for output in ("eta_s", "high_s")]
            answer = client.infer("eta", [tensor], outputs=wanted, request_id="r1")
            found[name] = answer.as_numpy("eta_s").ravel().tolist()
            found[f"{name}_id"] = answer.get_response()["id"]
        tensor = over_http.InferInput("features", [1, 1], "FP32")
        tensor.set_data_from_numpy(features[:1, :1])
        try:
            client.infer("eta", [tensor])
        except InferenceServerException as error:
            found["refused"] = error.status()
    return found


def by_grpc(url: str, features: np.ndarray) -> dict[str, object]:
    """Every call of the protocol over gRPC."""
    with over_grpc.InferenceServerClient(url) as client:
        found = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready("eta", "1"),
            "server": client.get_server_metadata(as_json=True)["name"],
            "inputs": client.get_model_metadata("eta", as_json=True)["inputs"],
        }
        tensor = over_grpc.InferInput("features", list(features.shape), "FP32")
        tensor.set_data_from_numpy(features)
        answer = client.infer("eta", [tensor], request_id="r1", client_timeout=10)
        found["binary"] = answer.as_numpy("eta_s").ravel().tolist()
        found["outputs"] = [output.name for output in answer.get_response().outputs]
        try:
            client.get_model_metadata("nope")
        except InferenceServerException as error:
            found["refused"] = error.status()
    return found


def main() -> None:
    """Ask both ways and print what was found."""
    http, grpc, width = sys.argv[1], sys.argv[2], int(sys.argv[3])
    features = np.zeros((3, width), dtype=np.float32)
    print(json.dumps({"http": by_http(http, features), "grpc": by_grpc(grpc, features)}))  # noqa: T201


if __name__ == "__main__":
    main()
