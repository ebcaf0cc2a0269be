"""Save the ONNX file (first argument) as an MLflow model (second): run once, before the server."""

import sys

import mlflow.onnx
import onnx

if __name__ == "__main__":
    one_thread = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    mlflow.onnx.save_model(
        onnx.load(sys.argv[1]),
        sys.argv[2],
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options=one_thread,
        pip_requirements=["onnxruntime"],
    )
