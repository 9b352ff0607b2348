"""Quantises ONNX models to int8 with ONNX Runtime."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.spec import Spec


def quantize_onnx(path: Path, target: Path, spec: Spec, calibration: np.ndarray) -> None:
    """Writes an ONNX model with int8 weights, one scale for each output channel.

    For images and numbers, activations are int8 too, with the ranges of the calibration inputs
    (static quantisation). For texts, whose activations vary more, their ranges are measured in each
    call (dynamic quantisation): a transformer in static int8 predicted another class for 6% of the
    texts, and in dynamic int8 for none. Recurrent layers, what int8 cannot do, and the last layer
    of a regression stay float32: int8 has 256 steps from 0 to the largest target.

    Args:
        path: The float32 model.
        target: The file to write.
        spec: Spec of the data.
        calibration: Training inputs (n, *spec.shape).
    """
    from onnxruntime import quantization

    options = {
        "per_channel": True,
        "weight_type": quantization.QuantType.QInt8,
        "nodes_to_exclude": _find_last_layer(path) if spec.class_names is None else [],
    }
    root, before = logging.getLogger(), logging.getLogger().level
    root.setLevel("ERROR")  # its advice to simplify the graph first is not the user's concern
    try:
        if spec.is_text:
            quantization.quantize_dynamic(path, target, **options)
        else:
            reader = _make_reader(quantization.CalibrationDataReader, spec, calibration)
            quantization.quantize_static(path, target, reader, **options)
    finally:
        root.setLevel(before)


def _find_last_layer(path: Path) -> list[str]:
    """Returns the names of the nodes from the last matrix product to the output."""
    import onnx

    nodes = onnx.load(path).graph.node
    products = [i for i, node in enumerate(nodes) if node.op_type in ("MatMul", "Gemm")]
    return [node.name for node in nodes[products[-1] :]] if products else []


def _make_reader(base: type, spec: Spec, calibration: np.ndarray) -> Any:
    """Returns an instance of ONNX Runtime's `CalibrationDataReader`, one input at a time."""
    inputs: Iterator[dict[str, np.ndarray]] = ({spec.input_name: x[None]} for x in calibration)
    reader = type("Reader", (base,), {"get_next": lambda self: next(inputs, None)})
    return reader()
