from typing import Literal

import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import UserError
from zoo.schema import (
    Classes,
    Count,
    Counts,
    Positive,
    Rate,
    Shape,
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
    ("value", "annotation", "expected"),
    [
        (np.int64(3), Count, 3),
        (np.array([0, 2, 1]).max() + 1, Classes, 3),
        (tf.reduce_max(tf.constant([1, 2])) + 1, Classes, 3),
        (np.float32(0.5), Rate, 0.5),
        (np.bool_(True), bool, True),
        (np.str_("a"), Literal["a", "b"], "a"),
        (np.zeros((2, 28, 28, 1)).shape[1:], Shape, (28, 28, 1)),
        (np.array([32, 64]), Counts, (32, 64)),
        (tf.zeros((2, 9, 9, 3)).shape[1:], Shape, (9, 9, 3)),
        ([np.int32(4), tf.constant(5)], Counts, (4, 5)),
    ],
)
def test_numbers_arrays_and_shapes_of_numpy_and_tensorflow(value, annotation, expected):
    checked = check_value("x", value, annotation)
    assert checked == expected and type(checked) is type(expected)
    assert all(type(item) is int for item in (checked if isinstance(checked, tuple) else ()))


def test_messages_show_plain_numbers():
    with pytest.raises(UserError, match=r"^n=0: expected a whole number"):
        check_value("n", np.int64(0), Count)
    with pytest.raises(UserError, match="expected one or more"):
        check_value("shape", tf.TensorShape(None), Shape)


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
