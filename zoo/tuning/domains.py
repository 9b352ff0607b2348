"""The values of one setting in a search: a range of numbers, or a list of choices."""

import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal

from zoo.errors import UserError
from zoo.schema import (
    Range,
    check_value,
    describe_type,
    format_literal,
    parse_literal,
    split_annotation,
)


@dataclasses.dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: The smallest number.
        high: The largest number.
        log: Whether orders of magnitude are equally likely, not numbers.
        is_integer: Whether only whole numbers are included.
    """

    low: float
    high: float
    log: bool = False
    is_integer: bool = False

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the numbers."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def describe(self) -> str:
        """Returns the numbers in words."""
        low, high = format_number(self.low), format_number(self.high)
        return f"{low} to {high}" + ", logarithmic" * self.log

    def __str__(self) -> str:
        return f"{format_number(self.low)}:{format_number(self.high)}" + ":log" * self.log


@dataclasses.dataclass(frozen=True)
class Choices:
    """A list of values.

    Attributes:
        values: At least two different values.
    """

    values: tuple[Any, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as they are written on the command line."""
        return tuple(map(format_literal, self.values))

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the list."""
        return value in self.values

    def describe(self) -> str:
        """Returns the values in words."""
        return " | ".join(self.texts)

    def __str__(self) -> str:
        return "|".join(self.texts)


Domain = Interval | Choices


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A setting or hyperparameter.

    Attributes:
        name: Its name in a space, such as "learning_rate" or "hparam.dropout".
        annotation: Its type, one of those of `zoo.schema`.
        value: Its present value.
        flag: The flag that sets it, such as "--hparam=dropout".
    """

    name: str
    annotation: Any
    value: Any
    flag: str


def derive_domain(parameter: Parameter) -> Domain | None:
    """Returns the values that follow from a type and a present value; None if none do.

    A rate varies from 0 to 0.5, a positive number by a factor of ten in both directions on a
    logarithmic scale, a count by doubling and halving, and a name or a truth value takes all its
    values. The widths of several layers are halved and doubled together, or one layer is omitted.
    """
    base, bounds = split_annotation(_strip_none(parameter.annotation))
    value = parameter.value
    if base is bool:
        return Choices((False, True))
    if typing.get_origin(base) is Literal:
        return list_choices(typing.get_args(base))
    if base is float and bounds == Range(low=0, below=1):
        return Interval(0.0, max(0.5, value))
    if base is float and value:
        low, high = (float(f"{value * factor:.6g}") for factor in (0.1, 10))
        limit = None if bounds is None else bounds.high
        return Interval(low, high if limit is None else min(high, limit), log=True)
    if base is int and value:
        candidates = (value // 4, value // 2, value, value * 2, value * 4)
        return list_choices(x for x in candidates if bounds is None or bounds.contains(x))
    if typing.get_origin(base) is tuple and value and all(isinstance(x, int) for x in value):
        scaled = [tuple(max(1, round(x * factor)) for x in value) for factor in (0.5, 1, 2)]
        return list_choices([*scaled, value[:-1]] if len(value) > 1 else scaled)
    return None


def list_choices(values: Iterable[Any]) -> Choices | None:
    """Returns the different values as choices; None if there are less than two."""
    unique = tuple(dict.fromkeys(values))
    return Choices(unique) if len(unique) > 1 else None


def suggest_domain(parameter: Parameter) -> str:
    """Returns how the values of a parameter are given, as an example."""
    base, _ = split_annotation(_strip_none(parameter.annotation))
    if base is float:
        return f"a range, as in {parameter.name}=1e-5:1e-2:log"
    return f"a range, as in {parameter.name}=1:8" if base is int else "choices, separated by |"


def parse_domain(text: str, parameter: Parameter) -> Domain:
    """Reads LOW:HIGH, LOW:HIGH:log or A|B|C.

    Raises:
        UserError: if a value is not of the parameter's type, a range is empty or logarithmic from
            0, or there are less than two different choices.
    """
    name = parameter.name
    where = f"--space={name}={text}"
    if ":" in text and "|" not in text:
        return _parse_interval(where, text, parameter)
    texts = [part.strip() for part in text.split("|")]
    is_string = _strip_none(parameter.annotation) is str
    literals = [part if is_string else parse_literal(part) for part in texts]
    values = [check_value(f"{where}: {name}", x, parameter.annotation) for x in literals]
    if len(set(values)) < len(values):
        raise UserError(f"{where}: a choice is there twice: omit one of them")
    if len(values) < 2:
        raise UserError(
            f"{where}: one value leaves nothing to search: set it by {parameter.flag}={text}, or "
            "add choices, separated by |"
        )
    return Choices(tuple(values))


def format_number(value: float) -> str:
    """Formats a number in the shortest way that is read as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _parse_interval(where: str, text: str, parameter: Parameter) -> Interval:
    name, (low_text, high_text, *rest) = parameter.name, map(str.strip, text.split(":"))
    if rest not in ([], ["log"]):
        bounds = f"{name}={low_text}:{high_text}"
        raise UserError(f"{where}: expected {bounds} or, on a logarithmic scale, {bounds}:log")
    annotation = _strip_none(parameter.annotation)
    base, _ = split_annotation(annotation)
    if base not in (int, float):
        raise UserError(
            f"{where}: {name} is {describe_type(annotation)}: list choices, as in "
            f"{name}={text.replace(':', '|')}"
        )
    low, high = (
        check_value(f"{where}: {name}", parse_literal(bound), annotation)
        for bound in (low_text, high_text)
    )
    if low >= high:
        raise UserError(f"{where}: the range is empty: expected a first number below the second")
    if rest and low <= 0:
        raise UserError(
            f"{where}: a logarithmic range cannot start at {format_number(low)}: raise the first "
            "number, or omit :log"
        )
    return Interval(low, high, bool(rest), base is int)


def _strip_none(annotation: Any) -> Any:
    """Returns T for `T | None`, and other annotations as they are."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = [x for x in typing.get_args(annotation) if x is not type(None)]
        return options[0] if len(options) == 1 else annotation
    return annotation
