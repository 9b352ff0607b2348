"""Types of hyperparameters and training settings: parsing, checks and descriptions.

An annotation is `int`, `float`, `bool`, `str`, `Literal[...]`, `tuple[T, ...]` or a union of them.
`Annotated[T, Range(...)]` gives a number bounds, as in `Count = Annotated[int, Range(low=1)]`.
"""

import ast
import dataclasses
import difflib
import math
import types
import typing
import warnings
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from zoo.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """Bounds of a number; None means no bound.

    Attributes:
        low: Smallest allowed value.
        high: Largest allowed value.
        above: Exclusive lower bound.
        below: Exclusive upper bound.
    """

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def contains(self, value: float) -> bool:
        """Whether `value` is within the bounds; False for NaN."""
        return (
            not math.isnan(value)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        bounds = [("at least", self.low), ("above", self.above)]
        bounds += [("at most", self.high), ("below", self.below)]
        return " and ".join(
            f"{word} {bound if isinstance(bound, int) else format(bound, 'g')}"
            for word, bound in bounds
            if bound is not None
        )


Count = Annotated[int, Range(low=1)]
Counts = tuple[Count, ...]
Cardinalities = tuple[Annotated[int, Range(low=0)], ...]
TextSizes = tuple[tuple[Count, ...], ...]
Shape = tuple[Count, ...]
Classes = Annotated[int, Range(low=2)] | None
Rate = Annotated[float, Range(low=0, below=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(low=0)]


def parse_literal(text: str) -> Any:
    """Reads a Python literal, or `true` or `false`; any other text is returned as a string."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as the SyntaxWarning for "1is"
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def format_literal(value: Any) -> str:
    """Formats a value as it is written on the command line; `parse_literal` reads it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def check_value(name: str, value: Any, annotation: Any) -> Any:
    """Returns `value` converted to the annotation's type.

    An int is accepted for a float, a single item for a tuple, and what NumPy and TensorFlow have
    for them: numbers, arrays, tensors and shapes. Nothing else is converted.

    Args:
        name: Name of the value in the error message.
        value: The value to check.
        annotation: One of the types of this module.

    Raises:
        UserError: if the value has another type or is out of range.
    """
    value = to_python(value)
    converted = _convert(value, annotation)
    if converted is _MISMATCH:
        too_large = isinstance(value, int) and value >= _INT_LIMIT
        limit = f", below {_INT_LIMIT}" if too_large else ""
        raise UserError(
            f"{name}={_shorten_repr(value)}: expected {describe_type(annotation)}{limit}"
        )
    return converted


def to_python(value: Any) -> Any:
    """Returns numbers, arrays, tensors and shapes of NumPy and TensorFlow as plain Python values.

    Sequences become tuples; other values are returned as they are.
    """
    if isinstance(value, tuple | list):
        return tuple(map(to_python, value))
    # known by their methods, since this module imports neither of the libraries
    for method in ("numpy", "tolist", "as_list"):
        if callable(getattr(value, method, None)):
            try:
                return to_python(getattr(value, method)())
            except (TypeError, ValueError, NotImplementedError):  # such as a shape without a rank
                return value
    return value


def describe_type(annotation: Any) -> str:
    """Describes an annotation in words, such as 'a whole number, at least 1'."""
    base, bounds = split_annotation(annotation)
    origin = typing.get_origin(base)
    if origin is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(base)))
    if origin is tuple:
        return "one or more, separated by commas, each " + describe_type(typing.get_args(base)[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_type(option) for option in typing.get_args(base))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    words[type(None)] = "None"
    return f"{words[base]}, {bounds}" if bounds else words[base]


def split_annotation(annotation: Any) -> tuple[Any, Range | None]:
    """Splits Annotated[T, Range(...)] into T and the range, and T into T and None."""
    if typing.get_origin(annotation) is Annotated:
        base, *metadata = typing.get_args(annotation)
        return base, next((item for item in metadata if isinstance(item, Range)), None)
    return annotation, None


def is_text(value: Any) -> bool:
    """Whether `value` is a string that UTF-8 can encode; JSON may contain lone surrogates."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def is_line(value: Any) -> bool:
    """Whether `value` is a string of one line, as flags, paths and class names must be."""
    return is_text(value) and "\0" not in value and value.splitlines() in ([], [value])


def suggest_closest(name: str, known: Iterable[str]) -> str:
    """Returns " Did you mean 'X'?" for the known name closest to `name`; "" if none is close."""
    names = list(known)
    in_other_case = [other for other in names if other.lower() == name.lower()]
    matches = in_other_case or difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


_MISMATCH = object()
_INT_LIMIT = 2**31  # sizes and counts have to fit in an int32


def _shorten_repr(value: Any) -> str:
    """Returns `repr(value)`, at most 100 characters of it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python refuses to print ints above 4,300 digits
        return "..."
    return text if len(text) <= 100 else f"{text[:100]}..."


def _convert(value: Any, annotation: Any) -> Any:
    """Converts a value as `check_value` does; returns _MISMATCH if it does not fit."""
    base, bounds = split_annotation(annotation)
    origin = typing.get_origin(base)
    if origin is Literal:
        return value if value in typing.get_args(base) else _MISMATCH
    if origin is tuple:
        items = value if isinstance(value, tuple | list) else (value,)
        converted = tuple(_convert(item, typing.get_args(base)[0]) for item in items)
        return _MISMATCH if not converted or _MISMATCH in converted else converted
    if origin in (typing.Union, types.UnionType):
        options = (_convert(value, option) for option in typing.get_args(base))
        return next((option for option in options if option is not _MISMATCH), _MISMATCH)
    if base is type(None):
        return None if value is None else _MISMATCH
    if isinstance(value, int) and abs(value) >= _INT_LIMIT:
        return _MISMATCH
    if isinstance(value, float) and not math.isfinite(value):
        return _MISMATCH
    if base is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, base) or (base is int and isinstance(value, bool)):
        return _MISMATCH
    return value if bounds is None or bounds.contains(value) else _MISMATCH
