"""A trained model for other runtimes: LiteRT, LiteRT in int8, and ONNX.

| format | file | runtime | examples a call |
|---|---|---|---|
| `litert` | model.tflite | ai-edge-litert | 1 |
| `litert_int8` | model_int8.tflite | ai-edge-litert | 1 |
| `onnx` | model.onnx | onnxruntime | any number |

The input is the model's own: `image` (uint8), `features` (float32) or `tokens` (int32, of the
spec's full length, padded with 0). The output is `logits` (float32, examples x classes), of a
regression the prediction (examples x 1). LiteRT's files need none of TensorFlow's operations.

In int8 are the weights and what layers compute. Float32 stay what attention and layer normalisation
compute, which int8 is too coarse for, and the last layer of a regression: int8 has 256 steps, and 0
is always one of them, however far from it the targets are.
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from etils import epy
from tqdm import tqdm

from zoo import cli
from zoo.errors import UserError
from zoo.schema import closest

# so that a mistake in the formats does not wait for TensorFlow
with epy.lazy_imports():
    import keras
    import tensorflow as tf

    from zoo import data as datasets
    from zoo import saved_model
    from zoo.data import pipeline
    from zoo.data import spec as specs
    from zoo.serving import examples

FORMATS = ("saved_model", "litert", "litert_int8", "onnx")

_FILES = {"litert": "model.tflite", "litert_int8": "model_int8.tflite", "onnx": "model.onnx"}
_PACKAGES = ("ai_edge_litert", "onnx", "onnxruntime", "tf2onnx")  # of the extra
# LiteRT's operations of attention and layer normalisation: in int8 a transformer was no better
# than chance
_FLOAT = ["BATCH_MATMUL", "NEG", "RSQRT", "SELECT_V2", "SOFTMAX", "SQUARED_DIFFERENCE", "TRANSPOSE"]
_TOLERANCE = 1e-4
_COMPARED = 32  # examples
_CALIBRATION = 256  # examples
_SCORED = 2_000  # test examples: one a call, of long texts they take minutes


def check(formats: Sequence[str]) -> None:
    """Checks the names, and that the packages are installed; TensorFlow is not imported.

    Raises:
        UserError: for a name that is no format, or a package that is missing.
    """
    for name in formats:
        if name not in FORMATS:
            raise UserError(
                f"export_formats={name!r}: no such format.{closest(name, FORMATS)} "
                f"Known: {', '.join(FORMATS)}"
            )
        missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
        if name in _FILES and missing:
            raise UserError(
                f"export_formats={name!r}: the package {missing[0]} is missing: "
                "pip install 'keras-model-zoo[formats]'"
            )


def check_model(model: "keras.Model", formats: Sequence[str]) -> None:
    """Checks that the model, trained or not, can be written in these formats.

    Raises:
        UserError: if it computes in less than float32, or would be in int8 and has recurrent
            layers.
    """
    others = [name for name in formats if name in _FILES]
    low = {layer.compute_dtype for layer in model.layers} & {"float16", "bfloat16"}
    if others and low:
        raise UserError(
            f"export_formats={others[0]!r}: {model.name} computes in {low.pop()}, which is not "
            "converted: take --precision=float32"
        )
    if "litert_int8" in others and _has_loops(model):
        # the converter would end the process
        raise UserError(
            f"export_formats='litert_int8': {model.name} has recurrent layers, whose loops LiteRT "
            "does not quantize: take litert or onnx"
        )


def export(
    model: "keras.Model", data: "specs.Data", version: Path, formats: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Writes the formats beside an exported version, and measures them and it.

    Args:
        model: The trained model.
        data: What it was trained and is scored on; 256 training inputs calibrate int8.
        version: Folder of the SavedModel, into whose assets.extra the files go.
        formats: Names of FORMATS.
        seed: Which training inputs are drawn.

    Returns:
        What `measure` returns; nothing if no other format is asked for.

    Raises:
        UserError: as `write`.
    """
    if not set(formats) - {"saved_model"}:
        return {}
    share = min(0.5, _CALIBRATION / len(data.train))
    drawn = data.train.only(specs.holdout_rows(len(data.train), share, seed))
    calibration = datasets.samples(drawn, _CALIBRATION)
    files = write(model, data.spec, version / "assets.extra", formats, calibration)
    return measure(version, files, data)


def write(
    model: "keras.Model",
    spec: "specs.Spec",
    directory: Path,
    formats: Sequence[str],
    calibration: np.ndarray,
) -> dict[str, Path]:
    """Writes the model in all formats but `saved_model`, loads them back and compares them.

    Args:
        model: A trained model of the zoo, float32.
        spec: What the data is.
        directory: Folder for the files.
        formats: Names of FORMATS.
        calibration: Training inputs, (n, *spec.shape), that int8's ranges are taken from.

    Returns:
        The file of each format.

    Raises:
        UserError: as `check_model`; if a format lacks an operation of the model; or if the logits
            of `litert` or `onnx` are not the model's, whose file is then removed.
    """
    check_model(model, formats)
    samples, written = calibration[:_COMPARED], {}
    with saved_model.without_cudnn(model):
        expected = saved_model.predictor(model)({spec.input_name: samples}).numpy()
        for name in (name for name in formats if name in _FILES):
            path = directory / _FILES[name]
            try:
                with cli.silence():
                    path.write_bytes(_converted(name, model, spec, calibration))
                given = np.concatenate([*map(_loaded(name, path, spec), samples)])
            except Exception as error:
                path.unlink(missing_ok=True)
                reason = " ".join(str(error).split())[:200]
                raise UserError(
                    f"export_formats={name!r}: {model.name} cannot be converted: {reason}"
                ) from error
            difference = np.abs(given - expected).max() / max(1, np.abs(expected).max())
            # int8 rounds: what that costs, the scores on the test split tell
            if name != "litert_int8" and not difference <= _TOLERANCE:
                path.unlink()
                raise UserError(
                    f"{path} was removed: its logits differ from the model's by {difference:.2g} "
                    f"of the largest: leave {name} out of --export_formats"
                )
            written[name] = path
    return written


def measure(version: Path, files: dict[str, Path], data: "specs.Data") -> dict[str, dict[str, Any]]:
    """Scores each format on test examples in its own runtime on the CPU, an example a call.

    LiteRT and ONNX Runtime get one thread. TensorFlow's threads, which run the SavedModel's
    `serving_default`, cannot be changed after its start. Of texts that makes the tokens, too.

    Args:
        version: Folder of the SavedModel.
        files: What `write` returned.
        data: Where the test split comes from; of a large one 2,000 examples are taken.

    Returns:
        Of each format bytes (of a SavedModel without assets.extra), threads, latency_ms (the median
        of the calls, in milliseconds), examples, and accuracy or, of a regression, mae.
    """
    table, rows = {}, np.zeros(len(data.test), bool)
    rows[np.linspace(0, len(rows) - 1, min(len(rows), _SCORED), dtype=int)] = True
    for name, path in {"saved_model": version, **files}.items():
        split = ((name == "saved_model" and data.raw_test) or data.test).only(rows)
        call = _loaded(name, path, data.spec)
        outputs, targets, seconds = [], [], []
        # on a terminal only, and only if it takes a while
        bar = {"desc": f"testing {name}", "disable": None, "delay": 2, "leave": False}
        for x, y in tqdm(_examples(split), total=len(split), **bar):
            start = time.perf_counter()
            outputs.append(call(x))
            seconds.append(time.perf_counter() - start)
            targets.append(y)
        output, target = np.concatenate(outputs), np.stack(targets)
        threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
        table[name] = {
            "bytes": _size(path),
            "threads": threads if name == "saved_model" else 1,
            "latency_ms": float(np.median(seconds) * 1e3),
            "examples": len(split),
        }
        if data.spec.class_names is None:
            table[name]["mae"] = float(np.abs(output - target).mean())
        else:
            table[name]["accuracy"] = float((output.argmax(-1) == target).mean())
    return table


def _converted(name: str, model, spec: "specs.Spec", calibration: np.ndarray) -> bytes:
    """The content of the format's file."""
    # in a graph for one example Keras adds vectors as biases, which LiteRT does not do in uint32
    # (fasttext): it gets one for any batch, but where there are loops it needs to know all sizes
    whole = name == "onnx" or _has_loops(model)
    predict = None if whole else saved_model.predictor(model)

    def call(inputs):
        return model(inputs, training=False) if whole else {"logits": predict(inputs)}

    batch = None if name == "onnx" else 1
    inputs = tf.TensorSpec((batch, *spec.shape), spec.dtype, spec.input_name)
    with tempfile.TemporaryDirectory() as folder:
        saved_model.write_graph(folder, model, {"serve": (call, {spec.input_name: inputs})})
        if name == "onnx":
            return _onnx(folder, spec)
        return _litert(folder, spec, calibration if name == "litert_int8" else None)


def _litert(folder: str, spec: "specs.Spec", calibration: np.ndarray | None) -> bytes:
    """A SavedModel as LiteRT's file, in int8 if there are inputs to calibrate on.

    Keras' own export allows TensorFlow's operations.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if calibration is None:
        return converter.convert()
    float_nodes = []
    if spec.class_names is None:
        float_nodes = [_interpreter(converter.convert()).get_output_details()[0]["name"]]
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in calibration)
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=_FLOAT, denylisted_nodes=float_nodes
    )
    # it is what takes these lists
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def _onnx(folder: str, spec: "specs.Spec") -> bytes:
    """A SavedModel as ONNX' file.

    Keras' own export takes the tensors of Normalization layers for inputs.
    """
    import tf2onnx
    from tensorflow.python.framework import convert_to_constants

    loaded = tf.saved_model.load(folder)
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        loaded.signatures["serve"], lower_control_flow=False, aggressive_inlining=True
    )
    (given,), (made,) = frozen.inputs, frozen.outputs
    converted, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(add_shapes=True),
        input_names=[given.name],
        output_names=[made.name],
        tensors_to_rename={given.name: spec.input_name, made.name: "logits"},
    )
    return converted.SerializeToString()


def _loaded(name: str, path: Path, spec: "specs.Spec") -> Callable[[Any], np.ndarray]:
    """The format in its runtime: from one example to its logits, (1, classes)."""
    if name == "saved_model":
        with tf.device("/CPU:0"):
            served = tf.saved_model.load(str(path)).signatures["serving_default"]
        output = "prediction" if spec.class_names is None else "logits"

        def call(x):
            raw = examples.inputs(spec, np.asarray(x)[None], "serving_default")
            with tf.device("/CPU:0"):
                given = served(**{name: tf.constant(column) for name, column in raw.items()})
            return given[output].numpy().reshape(1, -1)

    elif name == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

        def call(x):
            return session.run(["logits"], {spec.input_name: x[None]})[0]

    else:
        interpreter = _interpreter(path.read_bytes())
        (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()

        def call(x):
            interpreter.set_tensor(given["index"], x[None])
            interpreter.invoke()
            return interpreter.get_tensor(made["index"])

    return call


def _interpreter(content: bytes):
    from ai_edge_litert.interpreter import Interpreter

    with cli.silence():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def _examples(split: "specs.Split") -> Iterator[tuple[Any, Any]]:
    if isinstance(split, specs.Arrays):
        return zip(split.x, split.y, strict=True)
    return pipeline.without_autotuning(split.read(None)).as_numpy_iterator()


def _size(path: Path) -> int:
    inside = [file for file in path.rglob("*") if file.is_file()]
    files = [path] if path.is_file() else [f for f in inside if f.parent.name != "assets.extra"]
    return sum(file.stat().st_size for file in files)


def _has_loops(model) -> bool:
    with saved_model.without_cudnn(model):
        graph = saved_model.predictor(model).get_concrete_function().graph.as_graph_def()
    parts = [graph.node, *(function.node_def for function in graph.library.function)]
    return any("While" in node.op for part in parts for node in part)
