"""The types that hyperparameters and recipes are annotated with: read from text, and checked.

A keyword-only signature is a builder's schema. Its annotations are `int`, `float`, `bool`, `str`,
`Literal[...]` or `tuple[T, ...]`, with a `Range` where a number has bounds.
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
    """Bounds of a number: `low <= value <= high`, or `value < below`, or `above < value`."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Whether `value` is a number within the bounds; NaN never is."""
        return (
            value == value
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        bounds = [("at least", self.low), ("above", self.above)]
        bounds += [("at most", self.high), ("below", self.below)]
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


Count = Annotated[int, Range(low=1)]
Counts = tuple[Count, ...]
Shape = tuple[Count, ...]
Classes = Annotated[int, Range(low=2)] | None
Rate = Annotated[float, Range(low=0, below=1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(low=0)]


def literal(text: str) -> Any:
    """Reads a Python literal; what is none is a string, and `true` and `false` are booleans."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's of what looks like a slip in a program
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def check(name: str, value: Any, annotation: Any) -> Any:
    """Returns `value` as the annotation's type, or raises UserError that says what was expected.

    An int will do for a float, and one item for a tuple; nothing else is converted.
    """
    converted = _convert(value, annotation)
    if converted is _MISFIT:
        smaller = f", below {_LARGEST}" if isinstance(value, int) and value >= _LARGEST else ""
        raise UserError(f"{name}={_shown(value)}: expected {describe(annotation)}{smaller}")
    return converted


def describe(annotation: Any) -> str:
    """The annotation in words, such as 'a whole number, at least 1'."""
    base, bounds = _split(annotation)
    origin = typing.get_origin(base)
    if origin is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(base)))
    if origin is tuple:
        return "one or more, separated by commas, each " + describe(typing.get_args(base)[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(option) for option in typing.get_args(base))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    words[type(None)] = "None"
    return f"{words[base]}, {bounds}" if bounds else words[base]


def is_text(value: Any) -> bool:
    """Whether it is a string that can be written as UTF-8: JSON may hold half a character."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def is_line(value: Any) -> bool:
    """Whether it is a text in one line, as a flag, a path or the name of a class has to be."""
    return is_text(value) and "\0" not in value and value.splitlines() in ([], [value])


def closest(given: str, known: Iterable[str]) -> str:
    """' Did you mean X?' for the known name nearest to the given one, or nothing."""
    match = difflib.get_close_matches(given, list(known), n=1)
    return f" Did you mean {match[0]!r}?" if match else ""


_MISFIT = object()
_LARGEST = 2**31  # what no array has as many of


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # Python writes no number of more than 4,300 digits
        return "..."
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


def _split(annotation: Any) -> tuple[Any, Range | None]:
    if typing.get_origin(annotation) is Annotated:
        base, *extras = typing.get_args(annotation)
        return base, next((e for e in extras if isinstance(e, Range)), None)
    return annotation, None


def _convert(value: Any, annotation: Any) -> Any:
    base, bounds = _split(annotation)
    origin = typing.get_origin(base)
    if origin is Literal:
        return value if value in typing.get_args(base) else _MISFIT
    if origin is tuple:
        items = value if isinstance(value, tuple | list) else (value,)
        converted = tuple(_convert(item, typing.get_args(base)[0]) for item in items)
        return _MISFIT if not converted or _MISFIT in converted else converted
    if origin in (typing.Union, types.UnionType):
        options = (_convert(value, option) for option in typing.get_args(base))
        return next((option for option in options if option is not _MISFIT), _MISFIT)
    if base is type(None):
        return None if value is None else _MISFIT
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return _MISFIT
    if isinstance(value, float) and not math.isfinite(value):
        return _MISFIT
    if base is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, base) or (base is int and isinstance(value, bool)):
        return _MISFIT
    return value if bounds is None or bounds.holds(value) else _MISFIT
