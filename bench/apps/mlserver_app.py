"""MLServer: a custom runtime around onnxruntime."""

import os
import sys

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

sys.path.insert(0, os.environ["BENCH_APPS"])
from onnx_model import OUTPUTS, Model


class OnnxRuntime(MLModel):
    """Tensors in, tensors out."""

    async def load(self) -> bool:
        """Load the model of the settings' uri."""
        self.model = Model(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the model on ``features``."""
        features = NumpyCodec.decode_input(payload.inputs[0])
        results = self.model.run(features.astype(np.float32))
        outputs = [NumpyCodec.encode_output(name, values) for name, values in zip(OUTPUTS, results, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
