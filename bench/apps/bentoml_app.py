"""BentoML: a service with numpy in and out."""

import bentoml
import numpy as np
from onnx_model import Model


@bentoml.service(workers=1, resources={"cpu": "1"}, logging={"access": {"enabled": False}})
class Eta:
    """One worker with the session in it."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api
    def predict(self, features: np.ndarray) -> np.ndarray:
        """Vectors [n, width] -> seconds [n, 3]."""
        return np.concatenate(self.model.run(features), axis=1)
