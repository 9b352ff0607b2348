"""Checks the inputs of signatures and converts their outputs, without TensorFlow."""

from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError, one_line


class InputRefusedError(UserError):
    """An input that does not fit the model. Sending it again would fail again."""


def format_tensor_spec(dtype: str, shape: tuple[int | None, ...]) -> str:
    """Formats a dtype and a shape, as in "uint8 n x 28 x 28 x 1"; n is any size."""
    return f"{dtype} {' x '.join('n' if size is None else str(size) for size in shape)}"


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
        if dtype == "string":
            converted, fits = array, all(isinstance(x, str | bytes) for x in array.flat)
            # a lone surrogate is a ValueError
            "".join(x for x in array.flat if isinstance(x, str)).encode()
        elif array.dtype.kind in "SU":
            raise TypeError(f"got texts, such as {array.ravel()[:1].tolist()}")
        else:
            with np.errstate(all="ignore"):
                converted = array.astype(dtype)
            is_exact = converted.dtype.kind == "f" or (converted == array).all()
            fits = array.dtype.kind in "biuf" and is_exact
    except (ValueError, TypeError, RuntimeError) as error:  # the last: too many dimensions
        is_ragged = "inhomogeneous" in str(error)
        reason = "got lists of different lengths" if is_ragged else one_line(error)
        raise InputRefusedError(f"{expected}; {reason}") from error
    if not fits:
        raise InputRefusedError(f"{expected}; got values of another type or range")
    sizes = zip(shape, converted.shape, strict=False)
    shape_fits = all(size is None or size == actual for size, actual in sizes)
    if not shape_fits or len(shape) != converted.ndim or not converted.size:
        actual_shape = " x ".join(map(str, converted.shape)) or "one value"
        is_alone = bool(shape) and (*shape[:1], *converted.shape) == shape
        advice = ": put it into a list" if is_alone else ""
        raise InputRefusedError(f"{expected}; got {actual_shape}{advice}")
    return converted


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
