"""Converts trained models to LiteRT and ONNX, also in fewer bits.

| format | file | runtime | examples per call |
|---|---|---|---|
| `litert` | model.tflite | ai-edge-litert | 1 |
| `litert_float16` | model_float16.tflite | ai-edge-litert | 1 |
| `litert_int8` | model_int8.tflite | ai-edge-litert | 1 |
| `onnx` | model.onnx | onnxruntime | any number |
| `onnx_int8` | model_int8.onnx | onnxruntime | any number |

The input is the model's: `image` (uint8), `features` (float32) or `tokens` (int32, padded with 0 to
the length of the spec). The output is `logits` (float32, examples x classes); for a regression
these are the predictions (examples x 1). The LiteRT files use no TensorFlow operations.

With `litert_float16`, weights are stored in 16 bits, and computed with in float32 on a CPU.
`onnx_int8` is described in `zoo.exporting.onnx_quantization`.

With `litert_int8`, the weights and most operations are int8. Attention, layer normalisation, and
in models of tables all but the dense layers stay float32, because int8 is too coarse for them. So
does the last layer of a regression: int8 has 256 steps, and its range always includes 0, however
far from 0 the targets are.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.console import silence_stderr
from zoo.data.spec import Spec
from zoo.distribution.keras_patches import disable_cudnn, freeze_signature
from zoo.errors import UserError, one_line
from zoo.evaluation.predictions import make_predictor
from zoo.exporting.onnx_quantization import quantize_onnx
from zoo.exporting.runtimes import load_runtime, make_interpreter
from zoo.exporting.saved_model import write_saved_model
from zoo.exporting.signatures import Signature
from zoo.storage.filenames import FORMAT_FILES

# LiteRT's operations in attention and layer normalisation: with these in int8, a transformer was no
# better than chance
_FLOAT_OPERATIONS = [
    "BATCH_MATMUL",
    "DIV",  # of a mean by the number of tokens
    "NEG",
    "RSQRT",
    "SELECT_V2",
    "SOFTMAX",
    "SQUARED_DIFFERENCE",
    "TRANSPOSE",
]
# of a table only the dense layers are int8: codes and token ids are no multiples of a step, LiteRT
# writes the 1 of a one-hot code as another number, and the vectors of an ft_transformer, whose
# sizes differ, share one step: 18% to 43% of the rows got another class
_FLOAT_TABLE_OPERATIONS = [
    "ADD",
    "CAST",
    "CONCATENATION",
    "GATHER",
    "MEAN",
    "MUL",
    "ONE_HOT",
    "RESHAPE",
    "STRIDED_SLICE",
    "SUB",
    "SUM",
]
_TOLERANCE = 1e-4  # relative to the largest logit
# they round by design; their scores on the test split show the cost
_ROUNDED = ("litert_float16", "litert_int8", "onnx_int8")
_COARSE = 0.1  # of the largest number that a regression predicts, from which on a file is useless
_COMPARED_EXAMPLES = 32


def check_convertible(model: keras.Model, formats: Sequence[str]) -> None:
    """Checks that the model, trained or not, can be converted to these formats.

    Raises:
        UserError: if the model computes in float16 or bfloat16, or has recurrent layers and
            `litert_int8` is one of the formats.
    """
    converted = [name for name in formats if name in FORMAT_FILES]
    half_dtypes = {layer.compute_dtype for layer in model.layers} & {"float16", "bfloat16"}
    if converted and half_dtypes:
        raise UserError(
            f"{converted[0]}: {model.name} computes in {half_dtypes.pop()}, which "
            "cannot be converted: train with --precision=float32"
        )
    with disable_cudnn(model):
        loops = "litert_int8" in converted and _has_loops(make_predictor(model))
    if loops:
        # the converter would crash the process
        raise UserError(
            f"litert_int8: {model.name} has recurrent layers, and LiteRT cannot quantize their "
            "loops: use litert_float16 or onnx_int8 instead"
        )


def convert_model(
    model: keras.Model,
    spec: Spec,
    directory: Path,
    formats: Sequence[str],
    calibration: np.ndarray,
) -> dict[str, Path]:
    """Converts the model to all formats except `saved_model`, and compares the logits.

    Args:
        model: A trained float32 model of the zoo.
        spec: Spec of the data.
        directory: Folder for the files.
        formats: Names from `FORMATS`; "saved_model" is ignored.
        calibration: Training inputs (n, *spec.shape): the ranges of int8 are those of all, and the
            first 32 are compared.

    Returns:
        The file of each format.

    Raises:
        UserError: if `check_convertible` fails, a format lacks an operation of the model, or its
            logits (except in float16 and int8) differ by more than 1e-4, or its numbers are too
            large or small for float16. The file is deleted.
    """
    check_convertible(model, formats)
    samples = calibration[:_COMPARED_EXAMPLES]
    files = {name: directory / FORMAT_FILES[name] for name in formats if name in FORMAT_FILES}
    with disable_cudnn(model), tempfile.TemporaryDirectory() as folder:
        predict = make_predictor(model)
        expected = predict({spec.input_name: samples}).numpy()
        for name, path in files.items():
            try:
                with silence_stderr():
                    signature = _make_plain_signature(name, model, predict, spec)
                    content = _convert(name, model, signature, spec, calibration, Path(folder))
                path.write_bytes(content)
                outputs = np.concatenate([*map(load_runtime(name, path, spec), samples)])
            except Exception as error:
                path.unlink(missing_ok=True)
                reason = f"{model.name} cannot be converted: {one_line(error, 200)}"
                raise UserError(f"{name}: {reason}") from error
            if fault := _describe_difference(name, outputs, expected, spec):
                path.unlink()
                raise UserError(f"{path}: deleted, because {fault}: omit {name}")
    return files


def _describe_difference(name: str, outputs: np.ndarray, expected: np.ndarray, spec: Spec) -> str:
    """Returns how the outputs of a format differ from the model's; "" if they may."""
    difference, largest = np.abs(outputs - expected).max(), np.abs(expected).max()
    if name not in _ROUNDED and not difference <= _TOLERANCE * max(1, largest):
        part = difference / max(1, largest)
        return f"its logits differ from the model's by {part:.2g} of the largest"
    # a target is divided by its spread inside of the model, by a number that may be of any size
    if name == "litert_float16" and spec.class_names is None and difference > _COARSE * largest:
        return (
            f"it predicts {outputs.ravel()[0]:.4g} instead of {expected.ravel()[0]:.4g}: numbers "
            "in 16 bits are at most 65,504, and precise from 0.0001"
        )
    return ""


def _make_plain_signature(
    name: str,
    model: keras.Model,
    predict: tf.types.experimental.PolymorphicFunction,
    spec: Spec,
) -> Signature:
    """Returns the function from {input name: x} to {"logits": ...} that a format is converted from.

    Args:
        name: Name of the format.
        model: The model.
        predict: What `make_predictor` returns for it.
        spec: Spec of the data.

    Returns:
        The function, and the spec of its input.
    """
    # Traced for any batch size. Traced for one example, Keras adds biases as vectors, which LiteRT
    # does not support for uint32 (fasttext). But to convert loops it needs static sizes, and
    # tf2onnx needs them outside a function.
    retrace = _has_loops(predict)

    def call(inputs):
        return {"logits": model(inputs, training=False)["logits"] if retrace else predict(inputs)}

    batch_size = None if name.startswith("onnx") else 1
    input_spec = tf.TensorSpec((batch_size, *spec.shape), spec.dtype, spec.input_name)
    return call, {spec.input_name: input_spec}


def _convert(
    name: str,
    model: keras.Model,
    signature: Signature,
    spec: Spec,
    calibration: np.ndarray,
    folder: Path,
) -> bytes:
    """Converts a signature, and returns the content of the format's file."""
    if name.startswith("onnx"):
        content = _convert_to_onnx(signature, spec)
        if name == "onnx":
            return content
        with tempfile.TemporaryDirectory() as scratch:
            plain, quantized = Path(scratch, "plain.onnx"), Path(scratch, "quantized.onnx")
            plain.write_bytes(content)
            quantize_onnx(plain, quantized, spec, calibration)
            return quantized.read_bytes()
    if not list(folder.iterdir()):  # all LiteRT files are converted from the same SavedModel
        write_saved_model(folder, model, {"serve": signature})
    return _convert_to_litert(name, str(folder), spec, calibration)


def _convert_to_litert(name: str, folder: str, spec: Spec, calibration: np.ndarray) -> bytes:
    """Converts a SavedModel to one of the LiteRT formats.

    `keras.Model.export(format="litert")` would also allow TensorFlow operations in the file.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if name == "litert":
        return converter.convert()
    if name == "litert_float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        return converter.convert()
    float_nodes = []
    if spec.class_names is None:
        float_nodes = [make_interpreter(converter.convert()).get_output_details()[0]["name"]]
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in calibration)
    float_operations = _FLOAT_OPERATIONS + _FLOAT_TABLE_OPERATIONS * bool(spec.columns)
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=float_operations, denylisted_nodes=float_nodes
    )
    # only the debugger accepts lists of operations and nodes that stay float32
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def _convert_to_onnx(signature: Signature, spec: Spec) -> bytes:
    """Converts a signature to ONNX.

    `keras.Model.export(format="onnx")` would make the constants of Normalization layers inputs.
    """
    import tf2onnx

    call, specs = signature
    function = tf.function(call, input_signature=[specs], autograph=False)
    frozen = freeze_signature(function.get_concrete_function())
    (input_tensor,), (output_tensor,) = frozen.inputs, frozen.outputs
    converted, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(add_shapes=True),
        input_names=[input_tensor.name],
        output_names=[output_tensor.name],
        tensors_to_rename={input_tensor.name: spec.input_name, output_tensor.name: "logits"},
        custom_op_handlers={"Erfc": (_convert_erfc, [])},
    )
    return converted.SerializeToString()


def _convert_erfc(graph: Any, node: Any, name: str, _: list) -> None:
    """Replaces erfc(x), which the exact GELU has and ONNX has not, by 1 - erf(x)."""
    from tf2onnx.utils import map_onnx_to_numpy_type

    shape, dtype = graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
    graph.remove_node(name)
    erf = graph.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
    one = graph.make_const(f"{name}_one", np.ones((), map_onnx_to_numpy_type(dtype)))
    graph.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=node.output, shapes=[shape], dtypes=[dtype]
    )


def _has_loops(predict: tf.types.experimental.PolymorphicFunction) -> bool:
    """Returns whether a graph has while loops, as those of recurrent layers do."""
    graph = predict.get_concrete_function().graph.as_graph_def()
    functions = [graph.node, *(function.node_def for function in graph.library.function)]
    return any("While" in node.op for nodes in functions for node in nodes)
