"""A program with the flags of TF Serving that answers requests for a model of two numbers.

Without batching an answer takes 40 ms; with it 10 ms, and 20 ms if a request waits for others.
"""

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np

from zoo.exporting.messages import (
    METHODS,
    GetModelMetadataResponse,
    GetModelStatusResponse,
    PredictResponse,
    SignatureDefMap,
)
from zoo.exporting.tensors import encode_tensor

FLAGS = dict(word.removeprefix("--").split("=") for word in sys.argv[1:])


def read_delay():
    file = FLAGS.get("batching_parameters_file")
    if not file:
        return 0.04
    waits = int(re.search(r"batch_timeout_micros \{ value: (\d+)", Path(file).read_text())[1])
    return 0.02 if waits else 0.01


def get_status(request, context):
    return GetModelStatusResponse(model_version_status=[{"version": 1, "state": "AVAILABLE"}])


def get_metadata(request, context):
    signatures = SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    numbers = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": -1}, {"size": 2}]}}
    signature.inputs["features"].MergeFrom(type(signature.inputs["features"])(**numbers))
    numbers["tensor_shape"]["dim"].pop()
    signature.outputs["prediction"].MergeFrom(type(signature.outputs["prediction"])(**numbers))
    response = GetModelMetadataResponse()
    response.metadata["signature_def"].value = signatures.SerializeToString()
    return response


def predict(request, context):
    time.sleep(DELAY)
    return PredictResponse(outputs={"prediction": encode_tensor(np.zeros(1, "float32"))})


DELAY = read_delay()
server = grpc.server(ThreadPoolExecutor(8))
for path, function in {
    "PredictionService/Predict": predict,
    "PredictionService/GetModelMetadata": get_metadata,
    "ModelService/GetModelStatus": get_status,
}.items():
    request_class, response_class = METHODS[path]
    service, name = path.split("/")
    method = grpc.unary_unary_rpc_method_handler(
        function, request_class.FromString, response_class.SerializeToString
    )
    handler = grpc.method_handlers_generic_handler(f"tensorflow.serving.{service}", {name: method})
    server.add_generic_rpc_handlers((handler,))
server.add_insecure_port(f"127.0.0.1:{FLAGS['port']}")
server.start()
server.wait_for_termination()
