"""Runs exported models in the runtime of their format, one example per call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.console import silence_stderr
from zoo.data.spec import Spec
from zoo.exporting.warmup import make_signature_inputs


def load_runtime(name: str, path: Path, spec: Spec) -> Callable[[Any], np.ndarray]:
    """Loads an exported model in the runtime of its format, on the CPU.

    Args:
        name: Name of the format.
        path: The file, or the folder of the SavedModel.
        spec: Spec of the data.

    Returns:
        A function from one example to its logits of shape (1, classes), or for a regression its
        prediction of shape (1, 1).
    """
    if name == "saved_model":
        with tf.device("/CPU:0"):
            served = tf.saved_model.load(str(path)).signatures["serving_default"]
        output = "prediction" if spec.class_names is None else "logits"

        def predict(x):
            inputs = make_signature_inputs(spec, np.asarray(x)[None], "serving_default")
            with tf.device("/CPU:0"):
                outputs = served(**{name: tf.constant(column) for name, column in inputs.items()})
            return outputs[output].numpy().reshape(1, -1)

    elif name.startswith("onnx"):
        predict_batch = load_onnx(path, spec)

        def predict(x):
            return predict_batch(x[None])

    else:
        interpreter = make_interpreter(path.read_bytes())
        (model_input,) = interpreter.get_input_details()
        (model_output,) = interpreter.get_output_details()

        def predict(x):
            interpreter.set_tensor(model_input["index"], x[None])
            interpreter.invoke()
            return interpreter.get_tensor(model_output["index"])

    return predict


def load_onnx(path: Path, spec: Spec) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a batch to its logits (n, classes), in ONNX Runtime, one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return lambda x: session.run(["logits"], {spec.input_name: x})[0]


def make_interpreter(content: bytes) -> Any:
    """Returns a LiteRT interpreter of a model, with one thread and its tensors allocated."""
    from ai_edge_litert.interpreter import Interpreter

    with silence_stderr():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter
