from typing import Literal

import pytest

from zoo.errors import UserError
from zoo.schema import (
    Classes,
    Count,
    Counts,
    Positive,
    Rate,
    check_value,
    parse_literal,
    suggest_closest,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("true", True),
        ("False", False),
        ("32,64", (32, 64)),
        ("(32, 64)", (32, 64)),
        ("mean", "mean"),
        ("__import__('os').system('true')", "__import__('os').system('true')"),
        ("", ""),
    ],
)
def test_literal(text, value):
    assert parse_literal(text) == value
    assert type(parse_literal(text)) is type(value)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, Count, 3),
        (1, Positive, 1.0),
        (64, Counts, (64,)),
        ([1, 2], Counts, (1, 2)),
        (None, Classes, None),
        ("a", Literal["a", "b"], "a"),
    ],
)
def test_check_converts_only_what_loses_nothing(value, annotation, expected):
    checked = check_value("x", value, annotation)
    assert checked == expected and type(checked) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (0, Count),
        (2.0, Count),
        (True, Count),
        ("3", Count),
        (1.0, Rate),
        (float("nan"), Rate),
        (float("inf"), Rate),
        (0.0, Positive),
        ((1, 0), Counts),
        ((), Counts),
        (1, bool),
        ("c", Literal["a", "b"]),
        (1, Classes),
    ],
)
def test_check_refuses_the_rest(value, annotation):
    with pytest.raises(UserError, match=r"x=.*expected"):
        check_value("x", value, annotation)


def test_closest():
    assert suggest_closest("dropuot", ["dropout", "dense"]) == " Did you mean 'dropout'?"
    assert suggest_closest("zzz", ["dropout"]) == ""
