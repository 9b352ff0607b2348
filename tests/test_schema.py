from typing import Literal

import pytest

from zoo import schema
from zoo.errors import UserError


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
    assert schema.literal(text) == value
    assert type(schema.literal(text)) is type(value)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, schema.Count, 3),
        (1, schema.Positive, 1.0),
        (64, schema.Counts, (64,)),
        ([1, 2], schema.Counts, (1, 2)),
        (None, schema.Classes, None),
        ("a", Literal["a", "b"], "a"),
    ],
)
def test_check_converts_only_what_loses_nothing(value, annotation, expected):
    checked = schema.check("x", value, annotation)
    assert checked == expected and type(checked) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (0, schema.Count),
        (2.0, schema.Count),
        (True, schema.Count),
        ("3", schema.Count),
        (1.0, schema.Rate),
        (float("nan"), schema.Rate),
        (float("inf"), schema.Rate),
        (0.0, schema.Positive),
        ((1, 0), schema.Counts),
        ((), schema.Counts),
        (1, bool),
        ("c", Literal["a", "b"]),
        (1, schema.Classes),
    ],
)
def test_check_refuses_the_rest(value, annotation):
    with pytest.raises(UserError, match=r"x=.*expected"):
        schema.check("x", value, annotation)


def test_closest():
    assert schema.closest("dropuot", ["dropout", "dense"]) == " Did you mean 'dropout'?"
    assert schema.closest("zzz", ["dropout"]) == ""
