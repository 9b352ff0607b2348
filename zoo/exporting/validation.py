"""Checks the inputs of signatures and converts their outputs, without TensorFlow."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError, one_line, shorten_names

TensorSpecs = Mapping[str, tuple[str, tuple[int | None, ...]]]  # dtype and shape by name


class InputRefusedError(UserError):
    """An input that does not fit the model. Sending it again would fail again."""


def format_tensor_spec(dtype: str, shape: tuple[int | None, ...]) -> str:
    """Formats a dtype and a shape, as in "uint8 n x 28 x 28 x 1"; n is any size."""
    return f"{dtype} {' x '.join('n' if size is None else str(size) for size in shape)}"


def format_inputs(takes: TensorSpecs) -> str:
    """Formats what a signature takes, such as "size (float32 n), colour (string n)"."""
    return ", ".join(f"{name} ({format_tensor_spec(*spec)})" for name, spec in takes.items())


def check_inputs(inputs: Any, takes: TensorSpecs, signature: str) -> dict[str, np.ndarray]:
    """Converts the inputs of a signature as `check_array` does.

    Args:
        inputs: Arrays or nested lists by name, the batch first: a dict or a DataFrame.
        takes: What the signature takes.
        signature: Model and signature, for messages.

    Raises:
        InputRefusedError: if inputs are missing, unknown, do not fit, or differ in length.
    """
    expected = format_inputs(takes)
    if not hasattr(inputs, "keys"):
        raise InputRefusedError(
            f"{signature} takes a dict of {expected}; got {one_line(repr(inputs), 40)}"
        )
    given = dict(inputs)
    if given.keys() != takes.keys():
        got = shorten_names(map(str, given)) or "nothing"
        raise InputRefusedError(f"{signature} takes {expected}; got {got}")
    arrays = {name: check_array(name, x, *takes[name]) for name, x in given.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len({*lengths.values()}) > 1:
        counts = shorten_names(f"{count} of {name}" for name, count in lengths.items())
        raise InputRefusedError(f"{signature}: expected as many values of each input; got {counts}")
    return arrays


def check_array(name: str, value: Any, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Converts an input to the dtype of a signature, if no value changes.

    The rank has to be checked before a request is sent: oneDNN crashes the process, even that of a
    server, if it is wrong.

    Args:
        name: Name of the input.
        value: An array, or nested lists.
        dtype: Dtype that the signature takes, such as "uint8" or "string".
        shape: Shape that the signature takes; None is any size.

    Returns:
        An array of that dtype; strings are an array of objects.

    Raises:
        InputRefusedError: if the shape, type or range of the value does not fit.
    """
    expected = f"{name}: expected {format_tensor_spec(dtype, shape)}"
    try:
        array = np.asarray(value, object if dtype == "string" else None)
        if np.ma.is_masked(value):
            raise TypeError("got masked values: fill them, such as with NaN")
        converted, fits = _convert(array, dtype)
    except (ValueError, TypeError, RuntimeError) as error:  # the last: too many dimensions
        is_ragged = "inhomogeneous" in str(error)
        reason = "got lists of different lengths" if is_ragged else one_line(error)
        raise InputRefusedError(f"{expected}; {reason}") from error
    if not fits.all():
        other = array.ravel()[np.argmin(fits)]
        raise InputRefusedError(
            f"{expected}; got values of another type or range, such as {_show(other, dtype)}"
        )
    sizes = zip(shape, converted.shape, strict=False)
    shape_fits = all(size is None or size == actual for size, actual in sizes)
    if not shape_fits or len(shape) != converted.ndim or not converted.size:
        actual_shape = " x ".join(map(str, converted.shape)) or "one value"
        is_alone = bool(shape) and (*shape[:1], *converted.shape) == shape
        advice = ": put it into a list" if is_alone else ""
        raise InputRefusedError(f"{expected}; got {actual_shape}{advice}")
    return converted


def _convert(array: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns values in a dtype, and which of them are the same there, bool (n,).

    Raises:
        TypeError: if they are texts in place of numbers.
        ValueError: if a text has a lone surrogate.
    """
    if dtype == "string":
        "".join(x for x in array.flat if isinstance(x, str)).encode()
        return array, np.array([isinstance(x, str | bytes) for x in array.flat], bool)
    if array.dtype.kind in "SU":
        raise TypeError(f"got texts, such as {array.ravel()[:1].tolist()}")
    is_number = array.dtype.kind in "biuf"
    with np.errstate(all="ignore"):
        converted = array.astype(dtype) if is_number else array
    is_exact = is_number and (converted.dtype.kind == "f" or converted == array)
    return converted, np.broadcast_to(is_exact, array.shape).ravel()


def _show(value: Any, dtype: str) -> str:
    """Returns a value that does not fit, and what stands for a missing one of the dtype."""
    plain = value.item() if isinstance(value, np.generic) else value
    is_missing = plain is None or (isinstance(plain, float) and plain != plain)
    missing = "''" if dtype == "string" else "NaN" if dtype.startswith("float") else ""
    advice = f" (a missing value is {missing})" if is_missing and missing else ""
    return one_line(repr(plain), 40) + advice


def name_probabilities(spec: Spec) -> str:
    """Returns the name of the output with the probabilities of the classes."""
    return "scores" if spec.multilabel else "probabilities"


def decode_output(values: Any, dtype: str) -> np.ndarray:
    """Converts an output to an array; strings become an array of str objects."""
    if dtype != "string":
        return np.array(values, dtype)
    array = np.array(values, object)
    decoded = np.empty(array.size, object)
    decoded[:] = [x.decode("utf-8", "replace") if isinstance(x, bytes) else x for x in array.flat]
    return decoded.reshape(array.shape)


def check_feature(name: str, value: Any) -> str | bytes | np.ndarray:
    """Checks the value of a tf.Example's feature.

    Returns:
        The string itself, or the numbers as an array of shape (n,).

    Raises:
        InputRefusedError: if the value is neither a string nor numbers.
    """
    if isinstance(value, str | bytes):
        return value
    try:
        array = np.ravel(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise InputRefusedError(
            f"feature {name}: expected a string or numbers; got {one_line(repr(value))}"
        )
    return array
