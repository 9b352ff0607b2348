"""Converts the JSON of TF Serving's REST API to arrays and tf.Examples, and outputs to JSON."""

import base64
import json
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import one_line, shorten_names
from zoo.exporting.messages import Example
from zoo.serving.local_server.loaded_version import LoadedVersion
from zoo.serving.local_server.serving_error import ServingError


def answer_json(version: LoadedVersion, api: str, body: bytes) -> dict[str, Any]:
    """Answers a POST request.

    Args:
        version: The version that is asked.
        api: "predict", "classify" or "regress".
        body: The JSON of the request.

    Returns:
        The JSON of the answer.

    Raises:
        ServingError: if the request is not what TF Serving takes, or does not fit the model.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _refuse(f"JSON Parse error: {one_line(error)}") from error
    if not isinstance(request, dict):
        raise _refuse("JSON Value: expected an object")
    name = request.get("signature_name", "serving_default")
    if not isinstance(name, str):
        raise _refuse("'signature_name' key must be a string value.")
    if api == "predict":
        return _predict(version, name, request)
    examples = _read_examples(request)
    outputs = version.run_examples(api, name, examples)
    if api == "regress":
        return {"results": _to_json("", outputs["outputs"])}
    rows = zip(_to_json("", outputs["classes"]), _to_json("", outputs["scores"]), strict=True)
    return {"results": [[list(pair) for pair in zip(*row, strict=True)] for row in rows]}


def _predict(version: LoadedVersion, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Answers in rows if the request has "instances", and in columns if it has "inputs"."""
    if ("instances" in request) == ("inputs" in request):
        raise _refuse("expected one of the keys 'instances' and 'inputs'")
    dtypes = {key: info.dtype for key, info in version.find_signature(name).inputs.items()}
    in_rows = "instances" in request
    if in_rows:
        columns = _collect_columns(request["instances"], list(dtypes))
    else:
        columns = request["inputs"]
        if not isinstance(columns, dict) or columns.keys() == {"b64"}:
            columns = {_only_input(list(dtypes)): columns}
    if missing := dtypes.keys() - columns.keys():
        raise _refuse(f"Missing named input: {min(missing)} in 'inputs' object.")
    arrays = {key: _to_array(key, value, dtypes.get(key)) for key, value in columns.items()}
    outputs = {key: _to_json(key, array) for key, array in version.run(name, arrays).items()}
    only = next(iter(outputs.values())) if len(outputs) == 1 else None
    if not in_rows:
        return {"outputs": outputs if only is None else only}
    if only is not None:
        return {"predictions": only}
    rows = zip(*outputs.values(), strict=True)
    return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}


def _collect_columns(rows: Any, inputs: list[str]) -> dict[str, list]:
    """Returns the values of each input in rows, which are objects, or values of a single input."""
    if not isinstance(rows, list) or not rows:
        raise _refuse("'instances' key must be a list that is not empty")
    are_objects = [isinstance(row, dict) and row.keys() != {"b64"} for row in rows]
    if not any(are_objects):
        return {_only_input(inputs): rows}
    if not all(are_objects) or any(row.keys() != rows[0].keys() for row in rows):
        raise _refuse("'instances': expected the same keys in each row")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _only_input(inputs: list[str]) -> str:
    if len(inputs) != 1:
        raise _refuse(f"expected values by the names of the inputs: {shorten_names(inputs)}")
    return inputs[0]


def _to_array(name: str, value: Any, number: int | None) -> np.ndarray:
    """Converts an input to an array of a dtype that has a number in TensorFlow."""
    if number is None:
        raise _refuse(f"{name}: there is no such input")
    dtype = tf.dtypes.as_dtype(number)
    try:
        if dtype == tf.string:
            array = np.array(value, object)
            flat = [_to_bytes(item) for item in array.flat]
            return np.array([*flat, None], object)[:-1].reshape(array.shape)
        array = np.array(value)
        kinds = "b" if dtype == tf.bool else "iu" if dtype.is_integer else "iuf"
        if array.dtype.kind not in kinds and array.size:
            raise ValueError(f"not of expected type: {dtype.name}")
        with np.errstate(all="ignore"):
            converted = array.astype(dtype.as_numpy_dtype)
        if dtype.is_integer and (converted != array).any():
            raise ValueError(f"out of the range of {dtype.name}")
        return converted
    # the last are raised for more dimensions than NumPy has
    except (ValueError, TypeError, OverflowError, RecursionError, RuntimeError) as error:
        raise _refuse(f"JSON Value of {name}: {one_line(error)}") from error


def _to_bytes(value: Any) -> bytes:
    """Converts a string, or an object with the key "b64".

    Raises:
        ValueError: if the value is something else.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        return base64.b64decode(value["b64"], validate=True)
    raise ValueError(f"{repr(value)[:40]} is not of expected type: string")


def _to_json(name: str, array: np.ndarray) -> Any:
    """Converts an output; strings become base 64 if its name ends in _bytes, as in TF Serving."""
    if array.dtype != object:
        return array.tolist()
    is_binary = name.endswith("_bytes")
    flat = [
        {"b64": base64.b64encode(x).decode()} if is_binary else x.decode("utf-8", "replace")
        for x in array.flat
    ]
    return np.array([*flat, None], object)[:-1].reshape(array.shape).tolist()


def _read_examples(request: dict[str, Any]) -> list[bytes]:
    """Returns the tf.Examples of a Classify or Regress request, serialized."""
    rows, context = request.get("examples"), request.get("context", {})
    if not isinstance(rows, list) or not isinstance(context, dict):
        raise _refuse("'examples' key must be a list, and 'context' an object")
    if not all(isinstance(row, dict) for row in rows):
        raise _refuse("'examples': expected objects with the features by name")
    return [_make_example(context | row) for row in rows]


def _make_example(features: dict[str, Any]) -> bytes:
    example = Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        feature = example.features.feature[name]
        try:
            if all(type(item) is int for item in values):
                feature.int64_list.value.extend(values)
            elif all(type(item) is float for item in values):
                feature.float_list.value.extend(values)
            else:
                feature.bytes_list.value.extend([_to_bytes(item) for item in values])
        except (ValueError, TypeError) as error:
            raise _refuse(f"feature: {name}: {one_line(error)}") from error
    return example.SerializeToString()


def _refuse(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
