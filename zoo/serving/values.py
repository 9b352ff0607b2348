"""Inputs and outputs of signatures as arrays, and what is said of those that do not suit."""

import re
from typing import Any

import numpy as np

from zoo.errors import UserError


class Refused(UserError):
    """What was sent does not suit the model: sent again, it would be refused again."""


def words(dtype: str, shape: tuple[int | None, ...]) -> str:
    """A dtype and a shape, as in "uint8 n x 28 x 28 x 1"."""
    return f"{dtype} {' x '.join('n' if size is None else str(size) for size in shape)}"


def array(name: str, value: Any, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The value as a signature takes it, strings as objects.

    A wrong rank has to be found here: oneDNN ends the process for it, even that of a server.

    Args:
        name: Name of the input.
        value: An array, or nested lists.
        dtype: What the signature takes, such as "uint8" or "string".
        shape: Its shape; None is any size.

    Raises:
        Refused: if the value is of another shape, type or range.
    """
    wrong = f"{name}: expected {words(dtype, shape)}"
    try:
        array = np.asarray(value, object if dtype == "string" else None)
        if dtype == "string":
            made, fits = array, all(isinstance(x, str | bytes) for x in array.flat)
            "".join(x for x in array.flat if isinstance(x, str)).encode()
        else:
            with np.errstate(all="ignore"):
                made = array.astype(dtype)
            fits = array.dtype.kind in "biuf" and (made.dtype.kind == "f" or (made == array).all())
    except (ValueError, TypeError) as error:
        raise Refused(f"{wrong}; {line(str(error))}") from error
    if not fits:
        raise Refused(f"{wrong}; got values of another type or range")
    asked = [own if size is None else size for size, own in zip(shape, made.shape, strict=False)]
    if asked != list(made.shape) or len(shape) != made.ndim or not made.size:
        raise Refused(f"{wrong}; got {' x '.join(map(str, made.shape)) or 'one value'}")
    return made


def typed(values: Any, dtype: str) -> np.ndarray:
    """An output as an array, strings as str."""
    array = np.array(values, object if dtype == "string" else dtype)
    for i, value in enumerate(array.flat):
        if isinstance(value, bytes):
            array.flat[i] = value.decode("utf-8", "replace")
    return array


def feature(name: str, value: Any) -> str | bytes | np.ndarray:
    """The value of a feature, numbers as an array (n,).

    Raises:
        Refused: if it is neither a string nor numbers.
    """
    if isinstance(value, str | bytes):
        return value
    try:
        array = np.ravel(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise Refused(f"feature {name}: expected a string or numbers; got {line(repr(value))}")
    return array


def tf_example(features: dict[str, Any]):
    """The features as a tf.Example."""
    from zoo.serving import examples

    return examples.example(features)


def line(message: str) -> str:
    """A message of TensorFlow in one line, without the places in the graph."""
    message = re.sub(r"\{\{.*?\}\}", "", message.partition("\n\t [[")[0]).strip()
    if message.startswith("Graph execution error"):
        message = message.splitlines()[-1]
    message = " ".join(message.split()).replace("\\'", "'")
    message = re.sub(r"^assertion failed: \[(.*)\]$", r"\1", message)
    return message if len(message) <= 300 else message[:300] + "..."
