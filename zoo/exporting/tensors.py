"""Converts arrays and features to TensorFlow's messages and back, without TensorFlow."""

import math
from typing import Any

import numpy as np

from zoo.exporting.messages import Example, TensorProto

# the dtype in NumPy, and the field of TensorProto that holds the values
_TYPES = {
    "DT_HALF": ("float16", "half_val"),
    "DT_FLOAT": ("float32", "float_val"),
    "DT_DOUBLE": ("float64", "double_val"),
    "DT_INT8": ("int8", "int_val"),
    "DT_INT16": ("int16", "int_val"),
    "DT_INT32": ("int32", "int_val"),
    "DT_INT64": ("int64", "int64_val"),
    "DT_UINT8": ("uint8", "int_val"),
    "DT_UINT16": ("uint16", "int_val"),
    "DT_UINT32": ("uint32", "uint32_val"),
    "DT_UINT64": ("uint64", "uint64_val"),
    "DT_BOOL": ("bool", "bool_val"),
    "DT_STRING": ("object", "string_val"),
}
_NAMES = {dtype: name for name, (dtype, _) in _TYPES.items()}
_BY_NUMBER = {TensorProto(dtype=name).dtype: types for name, types in _TYPES.items()}


def encode_tensor(array: np.ndarray) -> TensorProto:
    """Converts an array to a tensor of the same shape.

    Args:
        array: float16 to float64, int8 to int64, uint8 to uint64, bool, or strings: str becomes
            UTF-8, bytes stay as they are.

    Raises:
        TypeError: if the array has another dtype, or objects that are not strings.
        UnicodeEncodeError: if a str has lone surrogates.
    """
    is_text = array.dtype.kind in "OSU"
    name = _NAMES.get("object" if is_text else array.dtype.name)
    if name is None:
        raise TypeError(f"expected numbers, bool or strings; got an array of {array.dtype}")
    tensor = TensorProto(dtype=name)
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if is_text:
        tensor.string_val.extend(x.encode() if isinstance(x, str) else x for x in array.flat)
    else:
        tensor.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return tensor


def decode_tensor(tensor: TensorProto) -> np.ndarray:
    """Converts a tensor to an array of the same shape; strings become an object array of bytes.

    If values are missing at the end, the last value is repeated, as TensorFlow does; if there are
    none, all are 0 or b"".

    Raises:
        TypeError: if `encode_tensor` does not take the dtype.
        ValueError: if there are too many values, too few in `tensor_content`, or a negative size.
        OverflowError: if a value is out of the range of the dtype.
    """
    if tensor.dtype not in _BY_NUMBER:
        raise TypeError(f"expected a tensor of numbers, bool or strings; got type {tensor.dtype}")
    dtype, field = _BY_NUMBER[tensor.dtype]
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if any(size < 0 for size in shape):
        raise ValueError(f"a shape with a negative size: {shape}")
    if tensor.tensor_content:
        packed = np.frombuffer(tensor.tensor_content, np.dtype(dtype).newbyteorder("<"))
        return packed.astype(dtype).reshape(shape)
    values = getattr(tensor, field)
    [last] = values[-1:] or [b"" if field == "string_val" else 0]
    # half_val has the bits of each number as an integer
    held = np.fromiter(values, "uint16" if field == "half_val" else dtype, len(values))
    missing = max(0, math.prod(shape) - len(values))
    padded = np.concatenate([held, np.full(missing, last, held.dtype)])
    return (padded.view(dtype) if field == "half_val" else padded).reshape(shape)


def make_example(features: dict[str, Any]) -> Example:
    """Makes a tf.Example of features by name: strings, bytes, numbers or arrays of numbers."""
    example = Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, str | bytes):
            feature.bytes_list.value.append(value.encode() if isinstance(value, str) else value)
            continue
        numbers = np.ravel(value)
        kind = "int64_list" if np.issubdtype(numbers.dtype, np.integer) else "float_list"
        getattr(feature, kind).value.extend(numbers.tolist())
    return example
